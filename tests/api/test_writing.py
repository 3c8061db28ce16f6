"""How answers leave: whole heads, one piece, and nothing that would begin another answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dg.api.writing import MOST, Gathering, Turn, head, length

PLAIN = [(b"content-type", b"text/plain"), (b"content-length", b"2")]


class Wire(asyncio.Transport):
    """A transport that keeps what was done with it, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[bytes | str] = []
        self.closing = False

    def write(self, data: Any) -> None:
        self.done.append(bytes(data))

    def write_eof(self) -> None:
        self.done.append("eof")

    def close(self) -> None:
        self.done.append("close")
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing


def test_a_head_ends_with_an_empty_line() -> None:
    assert head(200, PLAIN) == b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n"


@pytest.mark.parametrize("hostile", [b"a\r\nset-cookie: x", b"a\nb", b"a\rb", b"a\0b", b"\x7f", b"a\r\n"])
def test_no_header_begins_another(hostile: bytes) -> None:
    with pytest.raises(ValueError, match="control character"):
        head(200, [*PLAIN, (b"x", hostile)])
    with pytest.raises(ValueError, match="control character"):
        head(200, [*PLAIN, (hostile, b"x")])


def test_a_tab_and_letters_beyond_ascii_may_stand_in_a_header() -> None:
    assert b"x: a\tb \xe4\r\n" in head(200, [(b"x", b"a\tb \xe4")])


def test_a_length_counts_where_nothing_else_says_how_the_connection_goes_on() -> None:
    assert length(PLAIN) == 2
    assert length(PLAIN[:1]) is None
    assert length([*PLAIN, (b"connection", b"close")]) is None
    assert length([*PLAIN, (b"transfer-encoding", b"chunked")]) is None


async def test_what_one_turn_writes_leaves_in_one_piece_when_it_ends() -> None:
    turn, wires = Turn(), (Wire(), Wire())
    first, second = (Gathering(wire, turn) for wire in wires)
    first.write(b"a")
    second.write(b"b")
    first.write(b"c")
    assert [wire.done for wire in wires] == [[], []]
    await asyncio.sleep(0)
    assert [wire.done for wire in wires] == [[b"ac"], [b"b"]]
    first.write(b"d")
    await asyncio.sleep(0)
    assert wires[0].done == [b"ac", b"d"]


async def test_a_connection_closes_behind_what_was_written() -> None:
    wire = Wire()
    gathering = Gathering(wire, Turn())
    gathering.write(b"a")
    gathering.write_eof()
    gathering.write(b"b")
    gathering.close()
    assert wire.done == [b"a", "eof", b"b", "close"]


async def test_nothing_is_written_to_a_connection_that_has_ended() -> None:
    wire = Wire()
    Gathering(wire, turn := Turn()).write(b"a")
    wire.closing = True
    await asyncio.sleep(0)
    assert (wire.done, turn) == ([], turn)


async def test_a_large_answer_does_not_wait_in_memory() -> None:
    wire = Wire()
    gathering = Gathering(wire, Turn())
    gathering.write(b"a" * MOST)
    assert wire.done == []
    gathering.write(b"b")
    assert wire.done == [b"a" * MOST + b"b"]
