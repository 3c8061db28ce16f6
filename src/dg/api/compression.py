"""Answers made smaller for those who ask (RFC 9110, 12.5.3): large ones, to GET alone, never a stream.

Whatever bears a secret is the answer to a POST, so nothing that an attacker mixes his guesses into is ever
compressed together with one (BREACH).
"""

from __future__ import annotations

import asyncio
import gzip
import importlib
from collections.abc import Callable
from functools import cache, lru_cache

from starlette.types import Message, Send

from dg.api.headers import Fields

SMALLEST = 1024
"""Bytes below which the headers cost what is saved."""
IN_THE_LOOP = 64 << 10
"""Bytes up to which it is done at once; more would hold up others, and another thread does it."""
LONGEST_WISH = 200
"""Characters of an Accept-Encoding that is read: browsers send some twenty."""
LEVEL = {"gzip": 5, "zstd": 3}
TEXTS = ("text/", "application/json", "application/yaml", "application/x-pem-file", "image/svg+xml")
STREAM = "text/event-stream"

Compress = Callable[[bytes], bytes]


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


def worth_it(start: Message) -> bool:
    """Whether the answer that begins so is a whole text, large enough, as it was written."""
    fields = {name: value.decode("latin-1") for name, value in start["headers"]}
    length = fields.get(b"content-length", "")
    kind = fields.get(b"content-type", "")
    return (
        start["status"] == 200
        and length.isdecimal()
        and int(length) >= SMALLEST
        and b"content-encoding" not in fields
        and kind.startswith(TEXTS)
        and not kind.startswith(STREAM)
    )


class Compressor:
    """The `send` of one answer that is worth it: keeps its start until the whole body is there."""

    def __init__(self, send: Send, coding: str | None) -> None:
        self._send = send
        self._coding = coding
        self._start: Message | None = None
        self._parts: list[bytes] = []

    async def send(self, message: Message) -> None:
        """ASGI's `send`. Whether compressed or not, caches are told what it depended on."""
        if message["type"] == "http.response.start" and worth_it(message):
            message["headers"] = [*message["headers"], (b"vary", b"accept-encoding")]
            if self._coding is not None:
                self._start = message
                return
        elif self._start is not None:
            self._parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                await self._finish(self._start)
            return
        await self._send(message)

    async def _finish(self, start: Message) -> None:
        content = b"".join(self._parts)
        compress = codings()[self._coding or "gzip"]
        if len(content) <= IN_THE_LOOP:
            smaller = compress(content)
        else:
            smaller = await asyncio.get_running_loop().run_in_executor(None, compress, content)
        start["headers"] = self._fields(start["headers"], len(smaller))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": smaller})

    def _fields(self, fields: Fields, length: int) -> Fields:
        changed = {b"content-length": str(length).encode()}
        found = [(name, changed.get(name, value)) for name, value in fields]
        return [*found, (b"content-encoding", str(self._coding).encode())]
