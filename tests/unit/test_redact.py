"""Secrets that were planted in logs are gone from what leaves a machine; all else is as it was."""

from __future__ import annotations

import pytest
from castcore.redact import REMOVED, redacted

PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0B\n-----END PRIVATE KEY-----"
PRODUCT = "VK7JG-NPHTM-C97JM-9MPGT-3V66T"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Authorization: Bearer abc.DEF-123_xyz", "abc.DEF-123_xyz"),
        ("authorization: basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("token=Zm9vYmFyYmF6", "Zm9vYmFyYmF6"),
        ('{"token": "Zm9v YmFy", "x": 1}', "Zm9v YmFy"),
        ("wifi_psk: hunter22", "hunter22"),
        ("BOOT_IMAGE=/x install.admin-password=hunter22 quiet", "hunter22"),
        ("PASSPHRASE='a b c'", "a b c"),
        ("GET https://user:hunter22@proxy.example/x", "hunter22"),
        ("MSDM: " + PRODUCT, PRODUCT),
        ("key " + PRODUCT.lower() + ".", PRODUCT.lower()),
        ("before\n" + PEM + "\nafter", "MIIEvQIBADANBgkq"),
        ("cut off " + PEM[:40], "MIIE"),
    ],
)
def test_what_has_the_shape_of_a_secret_is_taken_out(text: str, secret: str) -> None:
    clean = redacted(text)
    assert secret not in clean
    assert REMOVED in clean


def test_what_stands_around_it_stays() -> None:
    assert redacted("a\n" + PEM + "\nb token=xyz c").splitlines()[0] == "a"
    assert redacted("a token=xyz c") == f"a token={REMOVED} c"
    assert redacted("before\n" + PEM + "\nafter").endswith("\nafter")


@pytest.mark.parametrize(
    "text",
    [
        "fleetcast: state=done root=" + "4be1" * 16,
        "[    1.234567] usb 1-1: New USB device found, idVendor=0781",
        "uuid f1ee7ca5-7000-4000-8000-000000000001",
        "https://192.0.2.1:8443/api/v1/clients",
        "the tokens were counted",
        "52:54:00:fc:00:01",
    ],
)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert redacted(text) == text


def test_known_secrets_are_taken_out_wherever_they_stand() -> None:
    token = "operator-token-of-the-tests"
    assert redacted(f"x{token}y{token[:10]}", [token, "short"]) == f"x{REMOVED}y{token[:10]}"
    assert redacted("short", ["short"]) == "short"
