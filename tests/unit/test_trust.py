"""Signatures bind a purpose; keys never show their secret."""

from __future__ import annotations

import pytest
from castcore import trust
from castcore.errors import Untrusted

KEY = trust.SigningKey(bytes(range(32)))


def test_a_signature_is_good_for_its_purpose_and_message_only() -> None:
    signature = KEY.sign("offer", b"hello")
    trust.verify(KEY.public, "offer", b"hello", signature)
    for purpose, message in (("manifest", b"hello"), ("offer", b"hellO"), ("offe", b"rhello")):
        with pytest.raises(Untrusted, match=purpose):
            trust.verify(KEY.public, purpose, message, signature)


@pytest.mark.parametrize(
    ("key", "signature"), [(b"", b""), (b"short", b"x" * 64), (b"\xff" * 32, b"x" * 64)]
)
def test_garbage_keys_and_signatures_are_untrusted(key: bytes, signature: bytes) -> None:
    with pytest.raises(Untrusted):
        trust.verify(key, "offer", b"", signature)


def test_the_secret_is_not_in_the_repr() -> None:
    assert KEY.seed.hex() not in repr(KEY)
    assert "seed" not in repr(KEY)


def test_keyed_tags_depend_on_key_and_data() -> None:
    tags = {trust.keyed_tag(k * 32, d) for k in (b"a", b"b") for d in (b"x", b"y")}
    assert len(tags) == 4
    assert all(len(t) == 16 for t in tags)
