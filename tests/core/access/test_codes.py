"""The secrets of sessions: told apart without a look at the database."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dg.core.access.codes import ALPHABET, LENGTH, Codes, Refresh, read_user_code, spoken
from dg.core.testing import entropy

SESSION = str(uuid.UUID(int=7))
CODES = Codes(b"k" * 32)


def test_a_user_code_has_no_vowels_and_no_letters_that_look_like_others() -> None:
    assert not set(ALPHABET) & set("AEIOUYL0123456789")
    for _ in range(100):
        code = CODES.new_user_code()
        assert len(code) == LENGTH
        assert set(code) <= set(ALPHABET)


def test_every_letter_is_as_likely_as_the_others() -> None:
    codes = Codes(b"k", lambda size: bytes(range(256)) if size == LENGTH else b"")
    found = codes.new_user_code()
    assert found == ALPHABET[:LENGTH]
    last = Codes(b"k", lambda _: bytes([255, 247, 246, 0]))
    assert last.new_user_code() == (ALPHABET[246 % 19] + ALPHABET[0]) * 4


@pytest.mark.parametrize("typed", ["bcdf-ghjk", "BCDFGHJK", " bcdf ghjk ", "B-C-D-F-G-H-J-K"])
def test_a_code_is_read_however_it_was_typed(typed: str) -> None:
    assert read_user_code(typed) == "BCDFGHJK"


@pytest.mark.parametrize("typed", ["", "BCDF", "BCDFGHJA", "BCDFGHJKM", "ßCDFGHJK", "ＢCDFGHJK", "BCDF/GHJK"])
def test_what_is_no_code_is_none(typed: str) -> None:
    assert read_user_code(typed) is None


@given(st.text())
def test_no_text_breaks_the_readers(text: str) -> None:
    assert CODES.read(text) is None
    assert CODES.digest(text) != text
    read_user_code(text)


def test_a_shown_code_is_read_back() -> None:
    code = CODES.new_user_code()
    assert read_user_code(spoken(code)) == code


def test_each_token_leads_to_exactly_one_next_one() -> None:
    first = CODES.read(CODES.first(SESSION, "dgd_x"))
    assert first is not None
    assert (first.session, first.generation) == (SESSION, 0)
    second = CODES.after(first)
    assert second == CODES.after(first)
    read = CODES.read(second)
    assert read is not None
    assert (read.session, read.generation) == (SESSION, 1)
    assert read.secret != first.secret


def test_another_code_or_session_begins_another_chain() -> None:
    tokens = {CODES.first(SESSION, "dgd_x"), CODES.first(SESSION, "dgd_y")}
    tokens.add(CODES.first(str(uuid.UUID(int=8)), "dgd_x"))
    assert len(tokens) == 3


def test_nobody_makes_a_token_without_the_key() -> None:
    token = CODES.first(SESSION, "dgd_x")
    other = Codes(b"o" * 32)
    assert other.read(token) is None
    assert other.first(SESSION, "dgd_x") != token
    shown = CODES.read(token)
    assert shown is not None
    assert CODES.read(other.after(shown)) is None
    assert CODES.read(other._refresh(SESSION, 5, replace(shown, generation=5).secret)) is None


@pytest.mark.parametrize("position", range(4, 74, 7))
def test_a_token_with_one_changed_character_is_none(position: int) -> None:
    token = CODES.first(SESSION, "dgd_x")
    other = "A" if token[position] != "A" else "B"
    assert CODES.read(token[:position] + other + token[position + 1 :]) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token[:-1],
        lambda token: token + "A",
        lambda token: token + "=",
        lambda token: token + "\n",
        lambda token: token.replace("dgr_", "dgk_"),
        lambda token: token.replace("dgr_", ""),
        lambda token: token.upper(),
        lambda token: "dgr_" + "A" * 100_000,
        lambda token: "dgr_\ud800" + token[5:],
    ],
)
def test_a_token_in_another_shape_is_none(change: object) -> None:
    assert callable(change)
    assert CODES.read(change(CODES.first(SESSION, "dgd_x"))) is None


def test_device_codes_are_of_256_bits_and_different() -> None:
    codes = Codes(b"k", entropy())
    made = {codes.new_device_code() for _ in range(10)}
    assert len(made) == 10
    assert {len(code) for code in made} == {len("dgd_") + 43}


def test_the_digest_of_one_secret_is_not_that_of_another() -> None:
    assert CODES.digest("BCDFGHJK") != CODES.digest("BCDFGHJM")
    assert Codes(b"o" * 32).digest("BCDFGHJK") != CODES.digest("BCDFGHJK")


def test_a_chain_goes_on_for_longer_than_a_session_lasts() -> None:
    refresh = Refresh(SESSION, 99_999, b"s" * 16)
    read = CODES.read(CODES.after(refresh))
    assert read is not None
    assert read.generation == 100_000
