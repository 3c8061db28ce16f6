"""Writes a deployment's log: numbered lines in files of bounded size, the beginning and the end kept."""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from typing import NamedTuple

from dg.runner import spool
from dg.runner.journal import FULL, Reserve
from dg.runner.ticket import Limits

_BUFFER_BYTES = 65_536
_BUFFER_SECONDS = 0.05
_RETRY_SECONDS = 1.0


class _Stored(NamedTuple):
    path: str
    size: int


class LogWriter:
    """Takes masked bytes and keeps whole lines.

    Files belong to the head while they fit into `head_bytes`; of those after it the oldest are deleted when
    they exceed `tail_bytes`. As a file's name is the number of its first line, a gap between two files says
    exactly how many lines are missing; so it does where a full disk made the writer drop some.
    """

    def __init__(self, run_dir: str, limits: Limits, reserve: Reserve) -> None:
        self._run_dir = run_dir
        self._folder = os.path.join(run_dir, spool.LOG)
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        self._limits = limits
        self._reserve = reserve
        self._digest = hashlib.sha256()
        self.lines = _next_line(run_dir)
        self._step = spool.CHECKOUT_STEP
        self._partial = bytearray()
        self._partial_size = 0
        self._buffer = bytearray()
        self._first = self.lines  # number of the buffer's first line
        self._flush_at = 0.0
        self._fd = -1
        self._path = ""
        self._size = 0
        self._head_left = limits.head_bytes
        self._tail: deque[_Stored] = deque()
        self._tail_bytes = 0
        self._full_until = 0.0

    @property
    def sha256(self) -> str:
        """Digest of every line, also of those that were left out."""
        return self._digest.hexdigest()

    def begin_step(self, index: int) -> None:
        self.end_step()
        self._step = index

    def end_step(self) -> None:
        """Finish the last line and the file."""
        if self._partial_size:
            self._end_partial()
        self.flush()
        self._close()

    def write(self, data: bytes) -> None:
        """Bytes of the current step, cut anywhere."""
        if self._partial_size:
            end = data.find(b"\n")
            self._extend_partial(data[:end] if end >= 0 else data)
            if end < 0:
                return
            self._end_partial()
            data = data[end + 1 :]
        whole = data.rfind(b"\n") + 1
        self._add_lines(data[:whole])
        self._extend_partial(data[whole:])

    def note(self, text: str) -> None:
        """A line of the runner's own."""
        if self._partial_size:
            self._end_partial()
        self.write(b"dg: " + text.replace("\n", " ").encode("utf-8", "replace") + b"\n")

    def due(self) -> float | None:
        """Seconds until buffered lines want to be flushed; None when there are none."""
        return max(0.0, self._flush_at - time.monotonic()) if self._buffer else None

    def flush(self) -> None:
        if self._buffer:
            data, self._buffer = bytes(self._buffer), bytearray()
            self._store(data)

    def drop_oldest(self) -> bool:
        """Delete a file to make room for something more important; False when there is none."""
        files = spool.list_log(self._run_dir)
        if not files:
            return False
        os.unlink(files[0].path)
        return True

    # --- lines

    def _extend_partial(self, data: bytes) -> None:
        room = self._limits.line_bytes - len(self._partial)
        self._partial += data[:room]
        self._partial_size += len(data)

    def _end_partial(self) -> None:
        line, size = bytes(self._partial), self._partial_size
        self._partial, self._partial_size = bytearray(), 0
        self._add(line + self._mark(size) + b"\n")

    def _mark(self, size: int) -> bytes:
        return f" …[cut: {size} bytes]".encode() if size > self._limits.line_bytes else b""

    def _add_lines(self, block: bytes) -> None:
        """Whole lines, hopping over as many as fit into one line's limit: no work per line."""
        limit = self._limits.line_bytes
        begin = at = 0
        while len(block) - at > limit + 1:
            newline = block.rfind(b"\n", at, at + limit + 1)
            if newline >= 0:
                at = newline + 1
                continue
            self._add(block[begin:at])
            newline = block.index(b"\n", at)
            self._add(block[at : at + limit] + self._mark(newline - at) + b"\n")
            begin = at = newline + 1
        self._add(block[begin:])

    def _add(self, lines: bytes) -> None:
        if not self._buffer:
            self._flush_at = time.monotonic() + _BUFFER_SECONDS
        self.lines += lines.count(b"\n")
        self._digest.update(lines)
        self._buffer += lines
        if len(self._buffer) >= _BUFFER_BYTES:
            self.flush()

    # --- files

    def _store(self, data: bytes) -> None:
        while data:
            piece = data[: self._fit(data)]
            data = data[len(piece) :]
            kept = piece[: self._append(piece)]
            self._first += piece.count(b"\n")
            if len(kept) < len(piece):
                self._close()
            self._trim()

    def _fit(self, data: bytes) -> int:
        """How many bytes of whole lines the current file takes; begins a new file where it takes none."""
        while True:
            room = self._capacity() - self._size
            if len(data) <= room:
                return len(data)
            cut = data.rfind(b"\n", 0, max(0, room)) + 1
            if cut:
                return cut
            if self._size:
                self._close()
            elif self._head_left:
                self._head_left = 0
            else:
                return data.index(b"\n") + 1

    def _capacity(self) -> int:
        return min(self._limits.file_bytes, self._head_left or self._limits.tail_bytes)

    def _append(self, lines: bytes) -> int:
        """Write to the current file; returns the bytes of whole lines that the disk took."""
        if not self._has_room():
            return 0
        try:
            if self._fd < 0:
                self._open()
            written = os.write(self._fd, lines)
        except OSError as error:
            if error.errno not in FULL:
                raise
            written = 0
        if written == len(lines):
            self._size += written
            return written
        self._full_until = time.monotonic() + _RETRY_SECONDS
        whole = lines.rfind(b"\n", 0, written) + 1
        self._size += whole
        if self._fd >= 0:
            os.ftruncate(self._fd, self._size)
        return whole

    def _has_room(self) -> bool:
        """False for a while after the disk was full, and until the record's reserve can be had back."""
        if not self._full_until:
            return True
        if time.monotonic() < self._full_until or not self._reserve.restore():
            return False
        self._full_until = 0.0
        return True

    def _open(self) -> None:
        self._path = os.path.join(self._folder, f"{self._first:012d}-{self._step:03d}")
        if os.path.lexists(self._path):
            # Left by an earlier runner, or by a step: opening a pipe would block for ever.
            os.unlink(self._path)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._size = 0

    def _close(self) -> None:
        if self._fd < 0:
            return
        os.close(self._fd)
        self._fd = -1
        if not self._size:
            os.unlink(self._path)
        elif self._head_left:
            self._head_left -= min(self._size, self._head_left)
        else:
            self._tail.append(_Stored(self._path, self._size))
            self._tail_bytes += self._size
        self._size = 0

    def _trim(self) -> None:
        while self._tail and self._tail_bytes + self._size > self._limits.tail_bytes:
            oldest = self._tail.popleft()
            os.unlink(oldest.path)
            self._tail_bytes -= oldest.size


def _next_line(run_dir: str) -> int:
    """Where an earlier runner of this folder stopped; 0 for a fresh one."""
    files = spool.list_log(run_dir)
    if not files:
        return 0
    return files[-1].first + (spool.read_file(files[-1].path) or b"").count(b"\n")
