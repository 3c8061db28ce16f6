"""The lines that were carried out, the newest last: kept in a file of their owner's alone."""

from __future__ import annotations

import os
from pathlib import Path

from dg.core.text import plain

KEPT = 500
"""Lines that are kept."""
LARGEST = 1 << 20
"""Bytes that are read of the file, from its end."""


class History:
    """Goes back and forth in what was typed before; what is typed now stands behind the newest.

    `path` None keeps nothing after the run. A file that cannot be read or written is as none.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lines = _read(path) if path else []
        self._at = len(self._lines)
        self._typed = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """All of them, the oldest first."""
        return tuple(self._lines)

    def begin(self) -> None:
        """A new line: behind the newest."""
        self._at, self._typed = len(self._lines), ""

    def add(self, line: str) -> None:
        """Keep a line. One that is the newest already is not kept twice."""
        if self._lines[-1:] != [line]:
            self._lines.append(line)
            self._append(line)
        self.begin()

    def before(self, now: str) -> str:
        """The line before this one, or this one when there is none."""
        if self._at == len(self._lines):
            self._typed = now
        self._at = max(0, self._at - 1)
        return self._lines[self._at] if self._lines else now

    def after(self, now: str) -> str:
        """The line behind this one; behind the newest, what was being typed."""
        if self._at == len(self._lines):
            return now
        self._at += 1
        return self._lines[self._at] if self._at < len(self._lines) else self._typed

    def _append(self, line: str) -> None:
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(self._path, flags, 0o600), "a", encoding="utf-8") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(line + "\n")
        except OSError:
            # It is a convenience: the line itself is carried out.
            self._path = None


def _read(path: Path) -> list[str]:
    """The newest lines of the file, which is cut to them when it has grown far beyond."""
    from dg.core.home import write_private

    try:
        with os.fdopen(
            os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb"
        ) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - LARGEST))
            found = file.read(LARGEST).decode("utf-8", "replace").splitlines()
        lines = [plain(line) for line in found if line.strip()][-KEPT:]
        if len(found) > 2 * KEPT:
            write_private(path, "".join(f"{line}\n" for line in lines))
    except (OSError, ValueError):
        return []
    return lines
