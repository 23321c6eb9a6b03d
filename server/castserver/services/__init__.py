"""One thin listener each: proxy DHCP, DHCP, TFTP, HTTP, cast."""
