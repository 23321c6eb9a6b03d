"""The four-word code: stable, unambiguous words, different for different keys."""

from __future__ import annotations

from castcore import words


def test_there_is_one_word_per_byte_and_four_letters_tell_them_apart() -> None:
    assert len(words._WORDS) == 256
    assert len({word[:4] for word in words._WORDS}) == 256
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words._WORDS)
    assert max(map(len, words._WORDS)) <= 8


def test_a_key_always_has_the_same_code() -> None:
    # Golden: people write codes down, so a release must never change them.
    assert words.code_words(bytes(range(32))) == "donkey-acid-banjo-oasis"


def test_other_keys_have_other_codes() -> None:
    codes = {words.code_words(bytes([n]) * 32) for n in range(4)}
    assert len(codes) == 4
    assert all(code.count("-") == words.CODE_WORDS - 1 for code in codes)
