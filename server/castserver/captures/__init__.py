"""Captures: which machine's disks become which image of the library."""
