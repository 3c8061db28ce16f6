"""How a check asks: an address through the guarded way out, or a command as a step would run it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from dg.core.command import Finished, run
from dg.core.drift.models import Reading
from dg.core.environments.models import RunningCheck
from dg.core.errors import Problem, Unavailable
from dg.core.http import Outbound, Request
from dg.core.text import plain

_CAP = 64 * 1024
"""Bytes of an answer that are read."""
_REDIRECTS = 3
_LONGEST = 200
"""Characters of a version."""

_SEARCH = """\
import re, sys
found = re.search(sys.argv[1], sys.stdin.buffer.read().decode("utf-8", "replace"), re.MULTILINE)
sys.stdout.buffer.write((found[found.re.groups] or "").encode() if found else b"")
"""


class Checks:
    """Asks which version runs. `environ` is what commands see, and nothing else."""

    def __init__(self, outbound: Outbound, environ: Mapping[str, str], *, commands: bool) -> None:
        self._outbound = outbound
        self._environ = dict(environ)
        self._commands = commands

    async def read(self, check: RunningCheck) -> Reading:
        """What the check says; whatever goes wrong is its `problem`."""
        try:
            said = await (self._get(check) if check.url is not None else self._run(check))
            return Reading(found=_version(await self._part(check, said)))
        except Problem as problem:
            return Reading(problem=problem.message)

    async def _get(self, check: RunningCheck) -> str:
        request = Request(
            "GET", check.url or "", timeout=float(check.timeout), cap=_CAP, redirects=_REDIRECTS
        )
        answer = await self._outbound.send(request)
        if not 200 <= answer.status < 300:
            raise _nothing(f"the check's address answered {answer.status}")
        return _whole(answer.content, truncated=answer.truncated)

    async def _run(self, check: RunningCheck) -> str:
        if not self._commands:
            raise _nothing("its check is a command, which this server does not run (drift.commands)")
        command = check.command or ()
        name = plain(command[0], limit=100)
        ended = await self._finish(f"`{name}`", command, check.timeout)
        if ended.code:
            said = plain(ended.stderr.strip().rpartition(b"\n")[2], limit=_LONGEST)
            raise _nothing(f"`{name}` ended with code {ended.code}" + (f": {said}" if said else ""))
        return _whole(ended.stdout, truncated=ended.truncated)

    async def _part(self, check: RunningCheck, said: str) -> str:
        if check.pointer is not None:
            return _pointed(said, check.pointer)
        return said if check.pattern is None else await self._search(check.pattern, said, check.timeout)

    async def _search(self, pattern: str, said: str, timeout: int) -> str:
        # In a process of its own: a pattern and an answer can be such that the search never ends.
        argv = [sys.executable, "-I", "-S", "-c", _SEARCH, pattern]
        with tempfile.TemporaryFile() as file:
            file.write(said.encode("utf-8", "replace"))
            file.seek(0)
            ended = await self._finish("the search for the pattern", argv, timeout, file.fileno())
        if ended.code or not ended.stdout:
            raise _nothing("the pattern finds nothing in what the check says")
        return ended.stdout.decode("utf-8", "replace")

    async def _finish(
        self, what: str, argv: Sequence[str], timeout: int, stdin: int = asyncio.subprocess.DEVNULL
    ) -> Finished:
        try:
            return await run(argv, env=self._environ, timeout=float(timeout), cap=_CAP, stdin=stdin)
        except TimeoutError:
            raise _nothing(f"{what} did not end within {timeout} s") from None
        except (OSError, ValueError) as error:
            why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            raise _nothing(f"{what} cannot be run: {plain(why, limit=_LONGEST)}") from None


def _whole(content: bytes, *, truncated: bool) -> str:
    if truncated:
        raise _nothing(f"what the check says is longer than {_CAP // 1024} KiB")
    return content.decode("utf-8", "replace")


def _pointed(said: str, pointer: str) -> str:
    """The value at an RFC 6901 pointer. Raises Unavailable when there is none that is text or a number."""
    try:
        found: Any = json.loads(said)
    except (ValueError, RecursionError):
        raise _nothing("what the check says is not JSON") from None
    for word in pointer.split("/")[1:]:
        found = _entry(found, word.replace("~1", "/").replace("~0", "~"))
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        raise _nothing(f"what the check says has no text at {pointer or 'its root'}")
    return str(found)


def _entry(found: Any, word: str) -> Any:
    if isinstance(found, dict):
        return found.get(word)
    if isinstance(found, list) and word.isascii() and word.isdecimal() and len(word) < 9:
        return found[int(word)] if int(word) < len(found) else None
    return None


def _version(said: str) -> str:
    version = said.strip()
    if not version or len(version) > _LONGEST or plain(version) != version:
        raise _nothing(f"what the check says is not a version: one line of at most {_LONGEST} characters")
    return version


def _nothing(sentence: str) -> Unavailable:
    return Unavailable(sentence, reason="unreachable")
