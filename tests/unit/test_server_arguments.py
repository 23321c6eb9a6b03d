"""Options out of their bounds are wrong usage; a key that is none is refused."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest
from castcore.errors import Refused
from castserver.cli import arguments


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (arguments.port, ["1", "65535"], ["0", "65536", "-1", "http"]),
        (arguments.any_port, ["0", "65535"], ["65536", ""]),
        (arguments.data_port, ["1", "65534"], ["0", "65535"]),
        (arguments.count, ["1", "500"], ["0", "-3", "1.5"]),
        (arguments.hops, ["1", "255"], ["0", "256"]),
        (arguments.rate, ["0.5", "1000"], ["0", "-5", "nan", "inf", "fast"]),
    ],
)
def test_bounds(kind: Callable[[str], int], good: list[str], bad: list[str]) -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--it", type=kind)
    for text in good:
        assert parser.parse_args([f"--it={text}"]).it > -1
    for text in bad:
        with pytest.raises(argparse.ArgumentError):
            parser.parse_args([f"--it={text}"])


def test_a_rate_is_given_in_megabytes() -> None:
    assert arguments.rate("2.5") == 2_500_000


@pytest.mark.parametrize("text", ["", "zz", "11" * 31, "11" * 33])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="--key takes 64 hex digits"):
        arguments.public_key(text, "--key", "`fleetcast send`")
    assert arguments.public_key("11" * 32, "--key", "`fleetcast send`") == b"\x11" * 32
