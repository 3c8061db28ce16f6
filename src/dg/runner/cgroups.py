"""A control group (version 2) around a deployment's steps: found and killed as one, where that is allowed."""

from __future__ import annotations

import os
from typing import NamedTuple


class Group(NamedTuple):
    """The group `path` (a folder of the cgroup2 file system); it may not exist yet or any more."""

    path: str

    @classmethod
    def of(cls, parent: str | None, deployment: str) -> Group | None:
        """The group of `deployment` below `parent`; None without a parent."""
        return None if parent is None else cls(os.path.join(parent, f"dg-{deployment}"))

    def make(self) -> bool:
        """False when it cannot be made or joined here."""
        try:
            os.makedirs(self.path, exist_ok=True)
        except OSError:
            return False
        return os.access(f"{self.path}/cgroup.procs", os.W_OK)

    def join(self) -> None:
        """Put the calling process, and so all it will begin, into the group. Raises OSError."""
        _write(f"{self.path}/cgroup.procs", b"0")

    def members(self) -> list[int]:
        try:
            with open(f"{self.path}/cgroup.procs", "rb") as file:
                return [int(pid) for pid in file.read().split()]
        except OSError:
            return []

    def kill(self) -> bool:
        """KILL every member at once (Linux 5.14 and newer); False when the group cannot."""
        try:
            _write(f"{self.path}/cgroup.kill", b"1")
        except OSError:
            return False
        return True

    def remove(self) -> None:
        try:
            os.rmdir(self.path)
        except OSError:
            return


def writable() -> str | None:
    """The folder in which this process may make groups, or None: a value for the ticket's `cgroup`."""
    for mount in _mounts():
        for folder in (mount + _own_path(), mount):
            if os.access(folder, os.W_OK) and os.access(f"{folder}/cgroup.procs", os.W_OK):
                return folder.rstrip("/")
    return None


def _mounts() -> list[str]:
    lines = [line.split() for line in _lines("/proc/self/mounts")]
    return [fields[1] for fields in lines if len(fields) > 2 and fields[2] == "cgroup2"]


def _own_path() -> str:
    return next((line[3:] for line in _lines("/proc/self/cgroup") if line.startswith("0::")), "/")


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _write(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)
