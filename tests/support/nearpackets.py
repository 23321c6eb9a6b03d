"""DHCP packets that are nearly good, as hypothesis draws them."""

from __future__ import annotations

from castcore.boot.options import encode_options
from castcore.edge.net.dhcppacket import COOKIE
from hypothesis import strategies as st

CODES = st.sampled_from([43, 50, 52, 53, 54, 60, 77, 82, 93, 97, 175]) | st.integers(1, 254)
VALUES = (
    st.binary(max_size=40)
    | st.sampled_from(
        [b"\1", b"\3", b"PXEClient:Arch:00007", b"HTTPClient", b"\0\x07", b"\0\0", b"iPXE"]
    )
    | st.builds(lambda raw: b"\0" + raw, st.binary(min_size=16, max_size=16))
)
FIELDS = st.lists(st.tuples(CODES, VALUES), max_size=12).map(encode_options)
HEADER = bytes.fromhex("0101060000000007000080000000000000000000000000000000000052540000000100000000")


@st.composite
def near_packets(draw: st.DrawFn) -> bytes:
    """A good header and odd options, then some bytes changed and the end cut."""
    data = bytearray(HEADER.ljust(236, b"\0") + COOKIE + draw(FIELDS))
    for at in draw(st.lists(st.integers(0, len(data) - 1), max_size=4)):
        data[at] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(200, len(data)))])
