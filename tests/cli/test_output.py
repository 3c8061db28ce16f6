"""Output: aligned, coloured by meaning where that is wanted, harmless always."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dg.cli.output import STATUS, Meaning, Output, fitted, width
from dg.client.words import age, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(**environ: str) -> tuple[Output, Terminal]:
    stream = Terminal()
    return Output(stream, json=False, environ=environ), stream


def to_file(encoding: str = "utf-8") -> tuple[Output, io.BytesIO]:
    raw = io.BytesIO()
    return Output(io.TextIOWrapper(raw, encoding, write_through=True), json=False, environ={}), raw


def test_colour_is_for_terminals() -> None:
    output, stream = on_terminal()
    output.line(("failed", Meaning.ERR), "web")
    assert stream.getvalue() == "\x1b[31mfailed\x1b[0m web\n"
    plain, raw = to_file()
    plain.line(("failed", Meaning.ERR), "web")
    assert raw.getvalue() == b"failed web\n"


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colour_can_be_refused(environ: Mapping[str, str]) -> None:
    output, stream = on_terminal(**environ)
    output.line(("failed", Meaning.ERR))
    assert stream.getvalue() == "failed\n"


@given(st.text(), st.sampled_from(Meaning))
def test_no_text_acts_on_the_terminal(text: str, meaning: Meaning) -> None:
    output, stream = on_terminal()
    output.line((text, meaning))
    output.table([[text, (text, meaning), text]])
    written = stream.getvalue()
    for code in Meaning:
        written = written.replace(code.value, "")
    written = written.replace("\x1b[0m", "")
    assert not {"\x1b", "\x9b", "\r", "\x07", "\u202e"} & set(written)
    assert written.count("\n") == 2


def test_a_column_that_is_wanted_whole_is_wrapped_below_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    output, stream = on_terminal()
    output.table([["window", "An admin can pass it: dg override 7"], ["queue", ""]], whole=True)
    assert stream.getvalue().splitlines() == [
        "window  An admin can pass it:",
        "        dg override 7",
        "queue",
    ]


def test_a_status_is_a_glyph_and_a_word_and_has_a_stand_in() -> None:
    output, _ = to_file()
    assert output.status("rolled_back") == ("↩ rolled back", Meaning.WARN)
    narrow, _ = to_file("ascii")
    assert narrow.status("rolled_back") == ("< rolled back", Meaning.WARN)
    assert output.status("unheard-of") == ("? unheard-of", Meaning.DIM)
    assert len({stand_in for _, stand_in, meaning in STATUS.values() if meaning is Meaning.ERR}) == 1


def test_what_the_stream_cannot_encode_is_replaced() -> None:
    output, raw = to_file("ascii")
    output.line("grün")
    assert raw.getvalue() == b"gr?n\n"


def test_columns_are_aligned_by_cells_not_characters() -> None:
    output, raw = to_file()
    output.table([["日本", "1"], ["e\u0301a", "22"]], header=("NAME", "N"), right=frozenset({1}))
    assert raw.getvalue().decode() == "NAME   N\n日本   1\ne\u0301a    22\n"


def test_the_last_column_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    output, stream = on_terminal(NO_COLOR="1")
    output.table([["a" * 10, "b" * 50]])
    assert stream.getvalue() == "a" * 10 + "  " + "b" * 17 + "…\n"
    whole, raw = to_file()
    whole.table([["a" * 10, "b" * 50]])
    assert "b" * 50 in raw.getvalue().decode()


def test_an_empty_table_is_nothing() -> None:
    output, raw = to_file()
    output.table([])
    assert raw.getvalue() == b""


def test_a_record_is_one_line_of_ascii() -> None:
    """A terminal obeys U+009B, which JSON would let through."""
    output, raw = to_file()
    output.record({"subject": "a\u009bb\nc", "n": 1})
    assert raw.getvalue().isascii()
    assert json.loads(raw.getvalue()) == {"subject": "a\u009bb\nc", "n": 1}


@given(st.text(), st.integers(1, 20))
def test_a_fitted_text_is_never_wider(text: str, size: int) -> None:
    assert width(fitted(text, size)) <= size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1m00"),
        (65, "1m05"),
        (6900, "1h55"),
        (90000, "1d01h"),
    ],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "now"), (0.5, "now"), (59.9, "59s"), (60, "1m"), (7199, "1h"), (172800, "2d")]
)
def test_ages_have_one_unit(seconds: float, text: str) -> None:
    assert age(seconds) == text
