from __future__ import annotations

import pytest

from dg.core import base64url


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\xfb\xff", b"abc", bytes(range(256))])
def test_what_was_encoded_is_decoded(raw: bytes) -> None:
    assert base64url.decode(base64url.encode(raw)) == raw


def test_both_letters_of_the_alphabet_for_urls_are_used_and_no_padding() -> None:
    assert base64url.encode(b"\xfb\xff") == "-_8"


@pytest.mark.parametrize("text", ["-_8=", "-_9", "+/8", "-_ 8", "-", "-_8\n", "é-_8"])
def test_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64url"):
        base64url.decode(text)
