"""Control groups (version 2) of a deployment: each step's processes are limited, found and killed as one.

Below the folder that the server was given stands one group a deployment, and in it one a step.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

CONTROLLERS = ("cpu", "memory", "pids")
_DELEGATED = ("user.delegate", "trusted.delegate")
"""How systemd marks a group that it leaves to a service (`Delegate=yes`)."""
_LEAF = "server"
_MOVES = 10


class Group(NamedTuple):
    """The group `path` (a folder of the cgroup2 file system); it may not exist yet or any more."""

    path: str

    @classmethod
    def of(cls, parent: str | None, deployment: str) -> Group | None:
        """The group of `deployment` below `parent`; None without a parent."""
        return None if parent is None else cls(os.path.join(parent, f"dg-{deployment}"))

    def below(self, name: str) -> Group:
        return Group(os.path.join(self.path, name))

    def make(self) -> bool:
        """False when it cannot be made or joined here."""
        try:
            os.makedirs(self.path, exist_ok=True)
        except OSError:
            return False
        return os.access(f"{self.path}/cgroup.procs", os.W_OK)

    def enable(self) -> frozenset[str]:
        """Hand on to the groups below what can be limited here; returns which of CONTROLLERS that is.

        None for a group with processes of its own: the kernel would take some of them, and then let no
        process into the groups below.
        """
        if self._is_inhabited():
            return frozenset()
        for name in CONTROLLERS:
            try:
                self.write("cgroup.subtree_control", f"+{name}")
            except OSError:
                continue
        return frozenset(_words(f"{self.path}/cgroup.subtree_control")) & frozenset(CONTROLLERS)

    def write(self, name: str, value: str) -> None:
        """Set one of the group's values. Raises OSError."""
        fd = os.open(f"{self.path}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)

    def tally(self, name: str, key: str) -> int:
        """The number after `key` in a file such as `memory.events`; 0 when there is none."""
        words = _words(f"{self.path}/{name}")
        return next((int(value) for word, value in pairwise(words) if word == key), 0)

    def join(self) -> None:
        """Put the calling process, and so all it will begin, into the group. Raises OSError."""
        self.write("cgroup.procs", "0")

    def members(self) -> list[int]:
        """The processes in it and in the groups below."""
        return [pid for path in self._tree() for pid in Group(path).processes()]

    def kill(self) -> bool:
        """KILL every member at once (Linux 5.14 and newer); False when the group cannot."""
        try:
            self.write("cgroup.kill", "1")
        except OSError:
            return False
        return True

    def remove(self) -> None:
        """Remove it and the groups below as far as they are empty."""
        for path in self._tree():
            try:
                os.rmdir(path)
            except OSError:
                continue

    def adopt(self, other: Group) -> None:
        """Take in the processes of `other`, but for those that end or may not be moved."""
        for pid in other.processes():
            try:
                self.write("cgroup.procs", str(pid))
            except OSError:
                continue

    def processes(self) -> list[int]:
        """Those in the group itself."""
        return [int(pid) for pid in _words(f"{self.path}/cgroup.procs")]

    def _is_inhabited(self) -> bool:
        """The root of all groups may have processes, and it alone has no type."""
        return bool(self.processes()) and os.path.exists(f"{self.path}/cgroup.type")

    def _tree(self) -> Iterator[str]:
        """The deepest first."""
        return (path for path, _, _ in os.walk(self.path, topdown=False))


def writable() -> str | None:
    """The folder in which this process may make groups, or None: a value for the ticket's `cgroup`."""
    for mount in mounts():
        for folder in (mount + _own_path(), mount):
            if _may_have_groups(folder):
                return folder.rstrip("/")
    return None


def delegated() -> str | None:
    """The nearest group around this process that systemd left to its service, or None."""
    for mount in mounts():
        path = _own_path()
        while path != "/":
            if _is_delegated(mount + path) and _may_have_groups(mount + path):
                return mount + path
            path = os.path.dirname(path)
    return None


def prepare(parent: str) -> frozenset[str]:
    """Make `parent` fit for groups with limits, once, by the server; returns what they can limit.

    The kernel hands controllers on only from a group without processes of its own. In a group that systemd
    left to the service these move to one below; another's processes are not touched.
    """
    group = Group(parent)
    if _is_delegated(parent):
        leaf = group.below(_LEAF)
        # Again for those that were begun meanwhile.
        for _ in range(_MOVES):
            if not group.processes() or not leaf.make():
                break
            leaf.adopt(group)
    return group.enable()


def _may_have_groups(folder: str) -> bool:
    return os.access(folder, os.W_OK) and os.access(f"{folder}/cgroup.procs", os.W_OK)


def _is_delegated(folder: str) -> bool:
    return any(_attribute(folder, name) == b"1" for name in _DELEGATED)


def _attribute(path: str, name: str) -> bytes:
    try:
        return os.getxattr(path, name)
    except (OSError, AttributeError):
        return b""


def mounts() -> list[str]:
    """Where the cgroup2 file system is mounted."""
    lines = [line.split() for line in _lines("/proc/self/mounts")]
    return [fields[1] for fields in lines if len(fields) > 2 and fields[2] == "cgroup2"]


def _own_path() -> str:
    return next((line[3:] for line in _lines("/proc/self/cgroup") if line.startswith("0::")), "/")


def _words(path: str) -> list[str]:
    return [word for line in _lines(path) for word in line.split()]


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []
