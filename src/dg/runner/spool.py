"""The run folder, where server and runner meet; either may die at any instant and the other can still read.

    ticket.json   what to run                       written by the server, before the start
    cancel.json   stop                              written by the server
    probes.json   how probes that a step asks stand written by the server, again and again, by rename
    events.jsonl  what happened, one object a line  written by the runner, synced
    end.json      how it ended                      written by the runner, by rename
    log/          NNNNNNNNNNNN-SSS: number of the file's first line, index of the step

An event is `{"n": 1, 2, 3, ..., "t": microseconds since the epoch, "event": NAME, ...}` with the names
`started`, `degraded`, `checkout_started`, `checkout_ended`, `step_started`, `step_ended`, `step_skipped`
and `cancelling`.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Mapping
from typing import Any, NamedTuple

TICKET = "ticket.json"
CANCEL = "cancel.json"
PROBES = "probes.json"
EVENTS = "events.jsonl"
END = "end.json"
LOG = "log"
CHECKOUT_STEP = 999
_LOG_NAME = re.compile(r"[0-9]{12}-[0-9]{3}")
LARGEST_FILE = 64 << 20
"""Bytes of a file of the folder that are read at most; the runner's own are far smaller."""
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EACCES})
_OF_STEPS: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "step_started": {"index": int},
    "step_ended": {"index": int, "ok": bool, "seconds": (int, float)},
    "step_skipped": {"index": int},
}
_OF_THE_END: Mapping[str, type | tuple[type, ...]] = {
    "t": int,
    "outcome": str,
    "reason": (str, type(None)),
    "detail": str,
    "touched": bool,
    "outputs": dict,
}


class LogChunk(NamedTuple):
    """Whole lines of one step: `first` is the number of the first, `skipped` how many miss before it."""

    first: int
    step: int
    lines: int
    body: bytes
    skipped: int


class LogFile(NamedTuple):
    """One file of the log folder, as its name tells."""

    first: int
    step: int
    path: str


def write_ticket(run_dir: str, ticket: Mapping[str, Any]) -> None:
    replace(run_dir, TICKET, ticket)


def void_ticket(run_dir: str) -> None:
    """Make sure that no runner begins any more; one that has begun is not touched.

    Whose run it was stays, so that its end is still found.
    """
    ticket: Mapping[str, Any] = read_json(run_dir, TICKET) or {}
    kept: dict[str, Any] = {name: ticket[name] for name in ("epoch", "grace") if name in ticket}
    replace(run_dir, TICKET, {**kept, "void": True})


def request_cancel(run_dir: str) -> None:
    """Ask the runner to stop. It looks every quarter of a second, and at once when it gets a SIGTERM."""
    replace(run_dir, CANCEL, {})


def write_probes(run_dir: str, now: int, standings: Mapping[str, Mapping[str, Any]]) -> None:
    """Say how probes stand at `now` (microseconds): what `standings.Standing` holds, by name."""
    replace(run_dir, PROBES, {"t": now, "probes": standings})


def asked_probes(run_dir: str) -> frozenset[str]:
    """The probes that steps of the ticket ask for; none where there is no ticket."""
    ticket = read_json(run_dir, TICKET) or {}
    checks = [step.get("check") or {} for step in ticket.get("steps", ())]
    return frozenset(name for check in checks for name in check.get("probes") or ())


def read_events(run_dir: str, after: int) -> list[dict[str, Any]]:
    """The events with a number greater than `after`; a line being written is left for the next call.

    A line that no runner writes is passed over: steps can reach the file too.
    """
    data = read_file(os.path.join(run_dir, EVENTS)) or b""
    events = map(_object, data[: data.rfind(b"\n") + 1].splitlines())
    return [event for event in events if _is_event(event) and event["n"] > after]


def read_end(run_dir: str, epoch: int) -> dict[str, Any] | None:
    """How the run of `epoch` ended; None while it has not."""
    end = read_json(run_dir, END)
    return end if end is not None and end.get("epoch") == epoch and _is_end(end) else None


def read_log(run_dir: str, next_line: int, max_bytes: int) -> list[LogChunk]:
    """The log from line `next_line` on, up to about `max_bytes` and at least one line when there is one.

    May be called while the runner writes and deletes; what was deleted counts as skipped.
    """
    files = list_log(run_dir)
    begin = max((at for at, file in enumerate(files) if file.first <= next_line), default=0)
    chunks: list[LogChunk] = []
    for file in files[begin:]:
        chunk, complete = _read_chunk(file, next_line, max_bytes)
        if chunk:
            chunks.append(chunk)
            next_line = chunk.first + chunk.lines
            max_bytes -= len(chunk.body)
        if not complete or max_bytes <= 0:
            break
    return chunks


def list_log(run_dir: str) -> list[LogFile]:
    """The files of the log in order."""
    folder = os.path.join(run_dir, LOG)
    try:
        names = sorted(filter(_LOG_NAME.fullmatch, os.listdir(folder)))
    except FileNotFoundError:
        return []
    return [LogFile(int(name[:12]), int(name[13:]), os.path.join(folder, name)) for name in names]


def read_json(run_dir: str, name: str) -> dict[str, Any] | None:
    """A file that is only ever replaced as a whole; None when it is not there, or something else is."""
    return _object(read_file(os.path.join(run_dir, name)) or b"") or None


def replace(run_dir: str, name: str, content: Mapping[str, Any]) -> None:
    """Write a JSON file so that a reader, or the machine after a power cut, sees the old or the new one."""
    path = os.path.join(run_dir, name)
    # One name per writer: two threads of the server and the runner may be at it in the same instant.
    fresh = f"{path}.{os.urandom(4).hex()}"
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            write_all(fd, json.dumps(content).encode() + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(fresh, path)
    except OSError:
        _unlink(fresh)
        raise
    _sync_folder(run_dir)


def write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def read_file(path: str) -> bytes | None:
    """A file's content, at most `LARGEST_FILE` bytes; None when it is not there or is no file.

    Steps run as the same user: a pipe in its place would hold the reader for ever.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        with open(fd, "rb", closefd=False) as file:
            return file.read(LARGEST_FILE)
    finally:
        os.close(fd)


def _object(text: bytes) -> dict[str, Any]:
    """The JSON object in `text`, an empty one when there is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_event(event: Mapping[str, Any]) -> bool:
    return _has(event, {"n": int, "t": int, "event": str}) and _has(event, _OF_STEPS.get(event["event"], {}))


def _is_end(end: Mapping[str, Any]) -> bool:
    return _has(end, _OF_THE_END) and all(isinstance(value, str) for value in end["outputs"].values())


def _has(found: Mapping[str, Any], fields: Mapping[str, type | tuple[type, ...]]) -> bool:
    return all(name in found and isinstance(found[name], kind) for name, kind in fields.items())


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _sync_folder(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _read_chunk(file: LogFile, next_line: int, max_bytes: int) -> tuple[LogChunk | None, bool]:
    """The lines of one file from `next_line` on, and whether these were all."""
    data = read_file(file.path)
    if data is None:
        return None, True
    data = data[: data.rfind(b"\n") + 1]
    first = max(file.first, next_line)
    start = _offset(data, first - file.first)
    if start == len(data):
        return None, True
    end = len(data)
    if end - start > max_bytes:
        end = data.rfind(b"\n", start, start + max(0, max_bytes)) + 1 or data.index(b"\n", start) + 1
    body = data[start:end]
    return LogChunk(first, file.step, body.count(b"\n"), body, first - next_line), end == len(data)


def _offset(data: bytes, lines: int) -> int:
    """Where line number `lines` begins, counted from 0; the end of `data` when it has no more."""
    if lines <= 0:
        return 0
    low, high = 0, len(data)
    while high - low > 1:
        middle = (low + high) // 2
        count = data.count(b"\n", low, middle)
        if count >= lines:
            high = middle
        else:
            low, lines = middle, lines - count
    return high
