"""The runner's own record: its events and its end, which must survive a full disk and a power cut."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from dg.runner import spool

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_RESERVE_BYTES = 65_536
_END_SECONDS = 60.0
_RETRY_SECONDS = 0.5


class Reserve:
    """A file of real blocks, given up when the disk is full so that the record still fits."""

    def __init__(self, run_dir: str) -> None:
        self._path = os.path.join(run_dir, "reserve")
        self.held = False
        self.restore()

    def release(self) -> None:
        if self.held:
            os.unlink(self._path)
            self.held = False

    def restore(self) -> bool:
        """True when there is room again."""
        if not self.held:
            self.held = self._fill()
        return self.held

    def _fill(self) -> bool:
        try:
            # Not blocking: a step may have put a pipe in its place.
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            fd = os.open(self._path, flags, 0o600)
        except OSError:
            return False
        try:
            spool.write_all(fd, os.urandom(_RESERVE_BYTES))
        except OSError:
            os.unlink(self._path)
            return False
        finally:
            os.close(fd)
        return True


class Journal:
    """Appends to `events.jsonl` and writes `end.json`.

    An event that finds no room, even with the reserve given up, waits in memory for the next one.
    """

    def __init__(self, run_dir: str, reserve: Reserve) -> None:
        self._run_dir = run_dir
        self._reserve = reserve
        self._waiting: list[bytes] = []
        self._fd = os.open(os.path.join(run_dir, spool.EVENTS), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        earlier = spool.read_events(run_dir, 0)
        self._number = earlier[-1]["n"] if earlier else 0
        self._size = os.fstat(self._fd).st_size - len(self._torn_line())

    def append(self, event: str, **fields: Any) -> None:
        """Record a fact; it is on the disk when this returns, if the disk has room."""
        self._number += 1
        record = {"n": self._number, "t": time.time_ns() // 1000, "event": event, **fields}
        self._waiting.append(json.dumps(record).encode() + b"\n")
        if not self._write_waiting():
            self._reserve.release()
            self._write_waiting()

    def end(self, fields: Mapping[str, Any], make_room: Callable[[], bool]) -> None:
        """Write `end.json`, and what waits before it. Raises OSError when no room came for a minute.

        `make_room` deletes something less important and tells whether it could.
        """
        deadline = time.monotonic() + _END_SECONDS
        while not self._try_end(fields, last_try=time.monotonic() >= deadline):
            if self._reserve.held:
                self._reserve.release()
            elif not make_room():
                time.sleep(_RETRY_SECONDS)
        self._reserve.release()

    def _try_end(self, fields: Mapping[str, Any], *, last_try: bool) -> bool:
        if not self._write_waiting() and not last_try:
            return False
        try:
            spool.replace(self._run_dir, spool.END, {"n": self._number, **fields})
        except OSError as error:
            if error.errno not in FULL or last_try:
                raise
            return False
        return True

    def _write_waiting(self) -> bool:
        while self._waiting:
            line = self._waiting[0]
            try:
                written = os.pwrite(self._fd, line, self._size)
                os.fdatasync(self._fd)
            except OSError as error:
                if error.errno not in FULL:
                    raise
                written = 0
            if written < len(line):
                os.ftruncate(self._fd, self._size)
                return False
            self._size += written
            del self._waiting[0]
        return True

    def _torn_line(self) -> bytes:
        """What an earlier runner left unfinished at the end; the next event takes its place."""
        data = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
        torn = data[data.rfind(b"\n") + 1 :]
        os.ftruncate(self._fd, len(data) - len(torn))
        return torn
