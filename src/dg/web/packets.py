"""What goes between `dg web` and Textual's web driver, and between it and textual-serve's script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator

DATA, META, PACKED = b"D", b"M", b"P"
READY = b"__GANGLION__\n"
"""The line before a dashboard's first packet."""

MOST_BYTES = 8 << 20
"""Of one packet of a dashboard: a whole screen has less than a tenth of that."""

COLUMNS, ROWS = (20, 500), (5, 200)
"""Least and most cells of a terminal."""


class Garbled(Exception):
    """The other side does not keep to what was agreed."""


async def packets(stream: asyncio.StreamReader) -> AsyncGenerator[tuple[bytes, bytes], None]:
    """Kind and payload of each packet of a dashboard, until it ends. Raises Garbled."""
    try:
        if await stream.readline() != READY:
            raise Garbled("it does not begin as a dashboard does")
        while True:
            head = await stream.readexactly(5)
            kind, size = head[:1], int.from_bytes(head[1:], "big")
            if kind not in (DATA, META, PACKED) or size > MOST_BYTES:
                raise Garbled("it writes what is no packet")
            yield kind, await stream.readexactly(size)
    except asyncio.IncompleteReadError:
        return
    except ValueError as error:
        raise Garbled("its first line does not end") from error


def packet(kind: bytes, payload: bytes) -> bytes:
    """One packet for a dashboard."""
    return b"%s%s%s" % (kind, len(payload).to_bytes(4, "big"), payload)


def size_of(width: object, height: object) -> tuple[int, int]:
    """Columns and rows that a browser asks for, kept within bounds. Raises Garbled for no numbers."""
    if not isinstance(width, int) or not isinstance(height, int):
        raise Garbled("a size has two whole numbers")
    return min(max(width, COLUMNS[0]), COLUMNS[1]), min(max(height, ROWS[0]), ROWS[1])


def translated(text: str) -> bytes | None:
    """The packet for what a browser said; None for a ping, which is answered by `pong`. Raises Garbled."""
    match _loaded(text):
        case ["stdin", str(typed)]:
            return packet(DATA, typed.encode("utf-8", "replace"))
        case ["resize", {"width": width, "height": height}]:
            columns, rows = size_of(width, height)
            return _meta(type="resize", width=columns, height=rows)
        case [("focus" | "blur") as name]:
            return _meta(type=name)
        case ["ping", str()]:
            return None
    raise Garbled("a browser says what no dashboard's page says")


def pong(text: str) -> str:
    """The answer to a ping."""
    return json.dumps(["pong", str(_loaded(text)[1])[:40]])


def _loaded(text: str) -> list[object]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Garbled("a browser says what is no JSON") from error
    if not isinstance(said, list):
        raise Garbled("a browser says what is no message")
    return said


def _meta(**said: object) -> bytes:
    return packet(META, json.dumps(said).encode())
