"""Sealed secrets: they open in their own place alone, with the home's own key."""

from __future__ import annotations

import base64

import pytest

from dg.core.errors import Refused
from dg.core.keys import Envelope, fresh, parse

SECRET = "whsec_ünlocked"


@pytest.fixture
def envelope() -> Envelope:
    return Envelope(parse(fresh().encode(), "here"))


def test_what_is_sealed_opens_again(envelope: Envelope) -> None:
    sealed = envelope.seal(SECRET, "webhook/1")
    assert envelope.open(sealed, "webhook/1") == SECRET
    assert SECRET not in sealed


def test_it_is_sealed_differently_each_time(envelope: Envelope) -> None:
    assert envelope.seal(SECRET, "a") != envelope.seal(SECRET, "a")


def test_it_opens_in_no_other_place(envelope: Envelope) -> None:
    with pytest.raises(Refused, match="moved from its place"):
        envelope.open(envelope.seal(SECRET, "webhook/1"), "webhook/2")


@pytest.mark.parametrize("at", [0, 12, -1])
def test_a_changed_byte_does_not_open(envelope: Envelope, at: int) -> None:
    head, _, data = envelope.seal(SECRET, "a").rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(data))
    raw[at] ^= 1
    with pytest.raises(Refused, match="was changed"):
        envelope.open(f"{head}.{base64.urlsafe_b64encode(raw).decode()}", "a")


@pytest.mark.parametrize("text", ["", "v1", "v1.", "v2.{name}.{data}", "v1.{name}.", "v1.{name}.?", "{data}"])
def test_what_was_never_sealed_is_refused(envelope: Envelope, text: str) -> None:
    _, name, data = envelope.seal(SECRET, "a").split(".")
    with pytest.raises(Refused):
        envelope.open(text.format(name=name, data=data), "a")


def test_another_homes_key_does_not_open_it(envelope: Envelope) -> None:
    sealed = Envelope(parse(fresh().encode(), "there")).seal(SECRET, "a")
    with pytest.raises(Refused, match=r"envelope\.key"):
        envelope.open(sealed, "a")


def test_a_new_first_key_seals_and_the_old_one_still_opens() -> None:
    old, new = fresh(), fresh()
    before = Envelope(parse(old.encode(), "here")).seal(SECRET, "a")
    both = Envelope(parse((new + old).encode(), "here"))
    assert both.open(before, "a") == SECRET
    assert Envelope(parse(new.encode(), "here")).open(both.seal(SECRET, "a"), "a") == SECRET


def test_hexadecimal_and_base64_are_the_same_key() -> None:
    key = bytes.fromhex(fresh())
    assert parse(key.hex().encode(), "") == parse(base64.b64encode(key), "") == [key]


@pytest.mark.parametrize("text", ["", "zz" * 32, "abcd", "a7" * 31, "a7" * 33, "{good}\nabcd", "\xff"])
def test_what_is_no_whole_key_is_refused_and_not_repeated(text: str) -> None:
    given = text.format(good=fresh().strip())
    with pytest.raises(Refused, match=r"the-vault does not hold keys of 32 bytes") as error:
        parse(given.encode("latin-1"), "the-vault")
    assert not [word for word in given.split() if word in error.value.message]


@pytest.mark.parametrize(
    "key",
    [
        bytes(32),
        b"\xde\xad\xbe\xef" * 8,
        bytes(range(32)),
        bytes(range(62, -2, -2)),
        b"please change this key, will you",
        bytes.fromhex("0123456789abcdef" * 4),
    ],
    ids=["zeros", "deadbeef", "counting", "counting down", "text", "digits"],
)
def test_a_sample_is_refused(key: bytes) -> None:
    for text in (key.hex().encode(), base64.b64encode(key)):
        with pytest.raises(Refused, match="holds a sample, not a random key"):
            parse(text, "the-vault")
