"""Answers made smaller for those who ask (RFC 9110, 12.5.3): large ones, to GET alone, never a stream.

Whatever bears a secret is the answer to a POST, so nothing that an attacker mixes his guesses into is ever
compressed together with one (BREACH).
"""

from __future__ import annotations

import asyncio
import gzip
import importlib
from collections.abc import Callable
from functools import cache, lru_cache, partial

from starlette.types import Message, Send

from dg.api.headers import Fields
from dg.core.remember import Remembered

SMALLEST = 1024
"""Bytes below which the headers cost what is saved."""
IN_THE_LOOP = 64 << 10
"""Bytes up to which it is done at once; more would hold up others, and another thread does it."""
LONGEST_WISH = 200
"""Characters of an Accept-Encoding that is read: browsers send some twenty."""
LEVEL = {"gzip": 5, "zstd": 3}
TEXTS = (b"text/", b"application/json", b"application/yaml", b"application/x-pem-file", b"image/svg+xml")
STREAM = b"text/event-stream"

Compress = Callable[[bytes], bytes]

_KEPT: Remembered[bytes] = Remembered(64)
"""Files that anybody may ask for again and again, as they leave."""


@cache
def codings() -> dict[str, Compress]:
    """What this Python can do, the best first: zstd by its own library or the `zstandard` package."""
    found: dict[str, Compress] = {}
    if zstd := _zstd():
        found["zstd"] = zstd
    found["gzip"] = lambda content: gzip.compress(content, LEVEL["gzip"], mtime=0)
    return found


def _zstd() -> Compress | None:
    for name in ("compression.zstd", "zstandard"):
        try:
            compress = importlib.import_module(name).compress
        except ImportError:
            continue
        return lambda content: bytes(compress(content, LEVEL["zstd"]))
    return None


def chosen(accepted: str) -> str | None:
    """The coding for a caller with this Accept-Encoding; None for as it is.

    The heaviest weight wins, of equal ones the better coding. A weight that is none counts as zero.
    """
    return _chosen(accepted) if 0 < len(accepted) <= LONGEST_WISH else None


@lru_cache(maxsize=128)
def _chosen(accepted: str) -> str | None:
    weights = dict(map(_weighed, accepted.lower().split(",")))
    rest = weights.get("*", 0.0)
    wanted = {name: weights.get(name, rest) for name in codings()}
    best = max(wanted, key=lambda name: wanted[name])
    as_it_is = weights.get("identity", 0.0)
    return best if wanted[best] > 0 and wanted[best] >= as_it_is else None


def _weighed(item: str) -> tuple[str, float]:
    name, _, parameters = item.partition(";")
    key, _, value = parameters.partition("=")
    if not parameters.strip():
        return name.strip(), 1.0
    try:
        weight = float(value) if key.strip() == "q" else 0.0
    except ValueError:
        weight = 0.0
    return name.strip(), weight if 0 <= weight <= 1 else 0.0


def worth_it(status: int, own: Fields) -> bool:
    """Whether an answer with these headers of its own is a whole text, large enough, as it was written."""
    if status != 200:
        return False
    fields = dict(own)
    kind = fields.get(b"content-type", b"")
    return (
        int(fields.get(b"content-length", b"0")) >= SMALLEST
        and b"content-encoding" not in fields
        and kind.startswith(TEXTS)
        and not kind.startswith(STREAM)
    )


class Compressor:
    """The `send` of one answer: keeps its start until the whole body is there."""

    def __init__(self, send: Send, coding: str) -> None:
        self._send = send
        self._coding = coding
        self._start: Message = {}
        self._parts: list[bytes] = []

    async def send(self, message: Message) -> None:
        """ASGI's `send`."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            await self._finish(b"".join(self._parts))

    async def _finish(self, content: bytes) -> None:
        smaller = await self._smaller(content)
        length = (b"content-length", b"%d" % len(smaller))
        kept = [field for field in self._start["headers"] if field[0] != b"content-length"]
        self._start["headers"] = [*kept, length, (b"content-encoding", self._coding.encode())]
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": smaller})

    async def _smaller(self, content: bytes) -> bytes:
        """`content` compressed; of what has a tag, and so is the same for all, the work is done once."""
        tag = next((value for name, value in self._start["headers"] if name == b"etag"), None)
        compress = codings()[self._coding]
        work = partial(compress, content)
        if tag is not None:
            work = partial(_KEPT.get, (tag, self._coding), work)
        if len(content) <= IN_THE_LOOP:
            return work()
        return await asyncio.get_running_loop().run_in_executor(None, work)
