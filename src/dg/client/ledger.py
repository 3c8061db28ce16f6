"""What a client saw of a server's ledger, remembered from one run to the next: a witness outside the server.

A ledger that is shorter than it was, or whose entry has another hash than it had, was cut or written anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dg.client.private import state_folder
from dg.core.addresses import is_loopback
from dg.core.clock import Clock, to_datetime
from dg.core.errors import Refused
from dg.core.home import write_private
from dg.core.sighting import HEAD, SEEN, Sighting, read_entry, read_head

log = logging.getLogger(__name__)

FILE = "ledgers.json"
MOST = 200
"""Ledgers that are remembered: those that were seen last."""
WAY_OUT = "if it was restored from a backup, say so with `dg audit accept`; else find out who did it"


def state_file(environ: Mapping[str, str]) -> Path | None:
    """Where the command line remembers ledgers; None without a home directory."""
    folder = state_folder(environ)
    return folder / FILE if folder else None


class Seen(BaseModel):
    """The newest entry of one ledger when it was seen last, `at` microseconds."""

    model_config = ConfigDict(frozen=True)

    seq: int = Field(ge=0)
    hash: str
    at: int


class Memory(BaseModel):
    """What a file remembers: the ledgers by the id of their homes, and whose each server's was."""

    ledgers: dict[str, Seen] = {}
    servers: dict[str, str] = {}

    def lacks(self, url: str, found: Sighting) -> bool:
        """Whether `found` is more than what is remembered; another process may have seen more."""
        seen = self.ledgers.get(found.ledger)
        return seen is None or seen.seq < found.seq or self.servers.get(url) != found.ledger

    def keep(self, url: str, found: Sighting, at: int) -> None:
        """Remember `found`; the ledgers that were not seen for longest are forgotten."""
        self.ledgers[found.ledger] = Seen(seq=found.seq, hash=found.hash, at=at)
        self.servers[url] = found.ledger
        newest = sorted(self.ledgers, key=lambda ledger: self.ledgers[ledger].at)[-MOST:]
        self.ledgers = {ledger: self.ledgers[ledger] for ledger in newest}
        self.servers = {url: ledger for url, ledger in self.servers.items() if ledger in self.ledgers}


def read_memory(path: Path | None) -> Memory:
    """What `path` remembers, nothing without one. Raises Refused when it cannot be read."""
    try:
        return Memory.model_validate_json(path.read_bytes()) if path else Memory()
    except FileNotFoundError:
        return Memory()
    except (OSError, ValidationError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not what dg writes"
        raise Refused(
            f"{path}, which remembers what servers' ledgers held, cannot be read: {why}; "
            "look at it, then begin anew with `dg audit accept`",
            reason="memory",
        ) from None


@dataclass
class _Known:
    """A ledger as it was seen, and whether the entry still has this hash was found out."""

    sighting: Sighting
    at: int
    checked: bool = False


class Ledger:
    """One server's ledger as a client sees it. `memory` is a file that outlives the client.

    `complain` gets one sentence when what is seen does not fit what was seen; `doubt` is that sentence.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        memory: Path | None = None,
        complain: Callable[[str], None] | None = None,
    ) -> None:
        self._url = url
        self._clock = clock
        self._memory = memory
        self._complain = complain or log.error
        self._newest: Sighting | None = None
        self.doubt: str | None = None
        remembered = self._read()
        self._known = _recall(remembered, remembered.servers.get(url))

    @property
    def unchecked(self) -> bool:
        """Whether no answer has said yet what became of the entry that was seen last."""
        return self._known is not None and not self._known.checked

    def ask(self) -> tuple[dict[str, str], Sighting | None]:
        """What a request says, and what was known when it was sent, which its answer must fit."""
        known = self._known
        if known is None:
            return {}, None
        return {} if known.checked else {SEEN: str(known.sighting.seq)}, known.sighting

    def observe(self, headers: Mapping[str, str], known: Sighting | None) -> None:
        """Hold an answer's headers against what was `known` when it was asked for."""
        now = read_head(headers.get(HEAD, ""))
        if now is None:
            return
        self._newest = now
        if self._known is None or self._known.sighting.ledger != now.ledger:
            self._meet(now)
        elif known is not None and known.ledger == now.ledger:
            self._compare(now, known, self._known, read_entry(headers.get(SEEN, "")))

    def _meet(self, now: Sighting) -> None:
        """Another ledger than was expected; perhaps it was seen under another address."""
        if self._known is not None and not is_loopback(urlsplit(self._url).hostname or ""):
            self._say(
                f"{self._url} has another ledger than on {_day(self._known.at)}: "
                f"that server was set up anew, or replaced; {WAY_OUT}"
            )
            return
        self._known = _recall(self._read(), now.ledger)
        if self._known is None:
            self._known = _Known(now, self._clock.micros(), checked=True)
        else:
            self._compare(now, self._known.sighting, self._known, None)

    def _compare(self, now: Sighting, known: Sighting, latest: _Known, told: tuple[int, str] | None) -> None:
        if problem := misfit(now, known, told, latest.at):
            self._say(f"the ledger of {self._url} {problem}; {WAY_OUT}")
        elif (latest.checked or told) and now.seq >= latest.sighting.seq:
            self._known = _Known(now, self._clock.micros(), checked=True)

    def keep(self) -> None:
        """Remember what was seen, unless it did not fit."""
        if self.doubt is None and self._known is not None and self._known.checked:
            self._write(self._known.sighting)

    def accept(self) -> Sighting | None:
        """Take the ledger as it was answered last for what it is; None when no answer said anything of it."""
        if self._newest is not None:
            self.doubt = None
            self._known = _Known(self._newest, self._clock.micros(), checked=True)
            self._write(self._newest, anew=True)
        return self._newest

    def _read(self) -> Memory:
        try:
            return read_memory(self._memory)
        except Refused as problem:
            self._say(problem.message)
            return Memory()

    def _write(self, found: Sighting, *, anew: bool = False) -> None:
        if self._memory is None:
            return
        try:
            memory = read_memory(self._memory)
        except Refused:
            memory = Memory()
        if not anew and not memory.lacks(self._url, found):
            return
        memory.keep(self._url, found, self._clock.micros())
        # Where nothing can be kept, as in a container that is read-only, nothing is remembered.
        with suppress(OSError):
            self._memory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self._memory, memory.model_dump_json())

    def _say(self, sentence: str) -> None:
        if self.doubt is None:
            self.doubt = sentence
            self._complain(sentence)


def _recall(memory: Memory, ledger: str | None) -> _Known | None:
    seen = memory.ledgers.get(ledger) if ledger else None
    return _Known(Sighting(ledger, seen.seq, seen.hash), seen.at) if ledger and seen else None


def misfit(now: Sighting, known: Sighting, told: tuple[int, str] | None, at: int) -> str | None:
    """What does not fit, as the end of a sentence; None when all does.

    `known` was seen `at` (microseconds); `told` is what the server says now of that entry, if it says so.
    """
    if now.seq < known.seq:
        return f"ends at entry {now.seq}, but on {_day(at)} it reached entry {known.seq}: it was cut"
    told = told or ((now.seq, now.hash) if now.seq == known.seq else None)
    if told is not None and told != (known.seq, known.hash):
        return f"has another entry {known.seq} than on {_day(at)}: it was written anew"
    return None


def _day(at: int) -> str:
    return f"{to_datetime(at):%Y-%m-%d %H:%M} UTC"
