"""Facts about the sanitiser of external text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dg.core.text import counted, plain

ANYTHING = st.text(st.characters(exclude_categories=()))
BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def is_safe(character: str, *, multiline: bool) -> bool:
    if multiline and character in "\n\t":
        return True
    return unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"} and character not in BIDI


@given(ANYTHING, st.booleans())
def test_output_holds_nothing_that_acts_on_a_terminal(text: str, multiline: bool) -> None:
    assert all(is_safe(character, multiline=multiline) for character in plain(text, multiline=multiline))


@given(st.binary(), st.booleans())
def test_any_bytes_become_encodable_safe_text(data: bytes, multiline: bool) -> None:
    shown = plain(data, multiline=multiline)
    shown.encode("utf-8")
    assert all(is_safe(character, multiline=multiline) for character in shown)


@given(ANYTHING)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert plain(plain(text)) == plain(text)


@given(st.one_of(ANYTHING, st.binary()), st.integers(0, 20), st.booleans())
def test_limit_is_never_passed_and_cuts_only_what_is_longer(
    text: str | bytes, limit: int, multiline: bool
) -> None:
    whole = plain(text, multiline=multiline)
    cut = plain(text, multiline=multiline, limit=limit)
    assert len(cut) <= limit
    if len(whole) <= limit:
        assert cut == whole
    elif limit:
        assert cut == whole[: limit - 1] + "…"


@given(st.lists(st.sampled_from(["\r\n", "\r", "\n", "é", "\x1b", "𝒜"])).map("".join), st.integers(0, 6))
def test_a_cut_through_line_ends_equals_a_cut_of_the_clean_text(text: str, limit: int) -> None:
    whole = plain(text, multiline=True)
    expected = whole if len(whole) <= limit else whole[: max(limit - 1, 0)] + "…"[:limit]
    assert plain(text, multiline=True, limit=limit) == expected
    assert plain(text.encode(), multiline=True, limit=limit) == expected


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J", "␛[2J"),
        ("\x1b]52;c;aGk=\x07", "␛]52;c;aGk=␇"),
        ("\x9b31m", "�31m"),
        ("a\x7fb", "a␡b"),
        ("one\ntwo\tthree\r", "one␊two␉three␍"),
        ("nul\x00", "nul␀"),
        ("\u202egnp.exe", "�gnp.exe"),
        ("a\u2028b\u2029c", "a�b�c"),
        ("\ud800", "�"),
        ("zero\ufeffwidth\u2060", "zero�width�"),
        (b"caf\xc3\xa9 \xff", "café �"),
        ("", ""),
        ("👩‍🚀 naïve – Привет", "👩‍🚀 naïve – Привет"),
    ],
)
def test_one_line(hostile: str | bytes, shown: str) -> None:
    assert plain(hostile) == shown


def test_a_block_keeps_its_lines_and_tabs() -> None:
    assert plain("a\r\n\tb\rc\n\x1b[0m", multiline=True) == "a\n\tb␍c\n␛[0m"


def test_markup_is_left_as_it_is() -> None:
    assert plain("[red]x[/] <b> &amp; *bold*") == "[red]x[/] <b> &amp; *bold*"


@pytest.mark.parametrize(("number", "said"), [(0, "0 lanes"), (1, "1 lane"), (12_000, "12,000 lanes")])
def test_one_is_not_many(number: int, said: str) -> None:
    assert counted(number, "lane") == said
