"""Keeps the ledger's head outside the database, so that a ledger written anew or cut is found out.

A file and a command are the places; the feed says when there is something to keep.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

from dg.core.command import run
from dg.core.errors import Unavailable
from dg.core.ledger import Anchor
from dg.core.text import plain

_TIMEOUT = 60.0
"""Seconds that the command may take."""
_SAID = 4096
"""Bytes of what it prints that are read."""


class Anchors:
    """The places of one server. `trouble` says in a sentence why the last try failed; None: it went well."""

    def __init__(
        self,
        file: Path | None = None,
        command: Sequence[str] = (),
        *,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._file = file
        self._command = tuple(command)
        self._environ = dict(os.environ if environ is None else environ)
        self._told = 0
        self.trouble: str | None = None

    @property
    def wanted(self) -> bool:
        """Whether there is any place."""
        return self._file is not None or bool(self._command)

    async def read(self) -> tuple[Anchor, ...]:
        """The anchors of the file, oldest first. Raises Unavailable when it cannot be read."""
        return await asyncio.to_thread(self._read)

    async def keep(self, anchor: Anchor, newest: int) -> bool:
        """Put `anchor` where it is news; `newest` is the seq of the file's last one. False: it was nowhere.

        One place that fails does not keep it from the other. Raises Unavailable when one did.
        """
        places: list[Callable[[Anchor], Awaitable[None]]] = []
        if self._file is not None and _is_news(anchor, newest):
            places.append(partial(_append, self._file))
        if self._command and _is_news(anchor, self._told):
            places.append(self._tell)
        problems = []
        for place in places:
            try:
                await place(anchor)
            except Unavailable as problem:
                problems.append(problem.message)
        if problems:
            raise Unavailable("; ".join(problems), reason="anchor")
        return bool(places)

    def _read(self) -> tuple[Anchor, ...]:
        if self._file is None or not self._file.exists():
            return ()
        try:
            lines = self._file.read_text("utf-8").splitlines()
            return tuple(Anchor(**json.loads(line)) for line in lines)
        except (OSError, ValueError, TypeError) as error:
            raise Unavailable(
                f"the anchor file {self._file} cannot be read: {error}", reason="anchor"
            ) from None

    async def _tell(self, anchor: Anchor) -> None:
        name = plain(self._command[0], limit=200)
        try:
            with _piped(_line(anchor)) as stdin:
                ended = await run(self._command, env=self._environ, timeout=_TIMEOUT, cap=_SAID, stdin=stdin)
        except TimeoutError:
            raise _failed(f"`{name}` did not end within {_TIMEOUT:g} seconds") from None
        except OSError as error:
            raise _failed(f"`{name}` cannot be run: {error.strerror}") from None
        if ended.code:
            said = plain(ended.stderr.strip() or ended.stdout.strip(), limit=200)
            raise _failed(f"`{name}` ended with code {ended.code}" + (f": {said}" if said else ""))
        self._told = anchor.seq


async def _append(path: Path, anchor: Anchor) -> None:
    try:
        await asyncio.to_thread(_write, path, _line(anchor))
    except OSError as error:
        raise Unavailable(
            f"the anchor file {path} cannot be written: {error.strerror}", reason="anchor"
        ) from None


def _write(path: Path, line: bytes) -> None:
    with path.open("ab") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def _is_news(anchor: Anchor, last: int) -> bool:
    # The fact of an anchor is itself an entry: alone it is no news.
    return anchor.seq > (last + 1 if last else 0)


def _line(anchor: Anchor) -> bytes:
    return json.dumps(asdict(anchor)).encode() + b"\n"


@contextmanager
def _piped(data: bytes) -> Iterator[int]:
    """A descriptor that reads `data`, which is short enough for a pipe, and then the end."""
    reader, writer = os.pipe()
    try:
        os.write(writer, data)
        os.close(writer)
        yield reader
    finally:
        os.close(reader)


def _failed(why: str) -> Unavailable:
    return Unavailable(f"the ledger's head was not anchored: {why}", reason="anchor")
