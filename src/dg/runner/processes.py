"""Processes of one deployment: finding and ending them, also those that left their parent, session or group.

The runner uses it for its steps, the server for what a killed runner left and for its own short commands,
`dg doctor` for what is missing.
"""

from __future__ import annotations

import os
import signal
import time

from dg.runner import cgroups

PROC = "/proc"
TAG = "DG_RUN"
BACKGROUND = "DG_BACKGROUND"

SET_PDEATHSIG = 1
SET_DUMPABLE = 4
SET_CHILD_SUBREAPER = 36
_GET_CHILD_SUBREAPER = 37
_KILL_SECONDS = 5.0
_NAME_LIMIT = 100
_WALKS = 10
_CONFIRM_SECONDS = 0.05


def prctl(option: int, value: int) -> bool:
    """Linux's prctl(2) with one argument; False where it does not exist or refuses."""
    # Imported at first use: a dozen other commands of dg read this module and never call it.
    import ctypes

    try:
        call = ctypes.CDLL(None).prctl
    except (AttributeError, OSError, TypeError):
        return False
    return bool(call(option, ctypes.c_ulong(value), 0, 0, 0) == 0)


def start_time(pid: int) -> str:
    """Field 22 of /proc/PID/stat, which with the pid names a process for good; "" when it cannot be read."""
    fields = _stat(pid)
    return fields[19].decode() if len(fields) > 19 else ""


def alive(pid: int, started: str) -> bool:
    """True while the process `pid` that began at `started` runs; a zombie is dead."""
    if not os.path.exists(f"{PROC}/self/stat"):
        return _exists(pid)
    fields = _stat(pid)
    if len(fields) < 20 or fields[0] in (b"Z", b"X"):
        return False
    return not started or fields[19].decode() == started


def describe(pid: int) -> str:
    """`PID ARGV` cut to 100 characters, for a log; "" for a process that is gone or a zombie."""
    if pid < 0:
        return f"process group {-pid}"
    argv = _read(f"{PROC}/{pid}/cmdline").rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    if not argv:
        # In the middle of an exec a live process has neither arguments nor environment.
        state = _stat(pid)[:1]
        return f"{pid} ({_command(pid)})" if state and state[0] not in (b"Z", b"X") else ""
    return f"{pid} {argv}" if len(argv) <= _NAME_LIMIT else f"{pid} {argv[:_NAME_LIMIT]}…"


def variable(pid: int, name: str) -> str | None:
    """A variable of the environment the process began with; None when it is unset or cannot be read."""
    prefix = name.encode() + b"="
    for entry in _read(f"{PROC}/{pid}/environ").split(b"\0"):
        if entry.startswith(prefix):
            return entry[len(prefix) :].decode(errors="replace")
    return None


def children(pid: int) -> list[int]:
    """Direct children of `pid`."""
    if not _has_children_file():
        return [other for other in _all() if _parent(other) == pid]
    found: list[int] = []
    for thread in _list(f"{PROC}/{pid}/task"):
        found += map(int, _read(f"{PROC}/{pid}/task/{thread}/children").split())
    return found


def tagged(deployment: str) -> list[int]:
    """Every process on the machine that a step of `deployment` began, but for what background steps left."""
    mark = f"{TAG}={deployment}".encode()
    found = []
    for pid in _all():
        entries = _read(f"{PROC}/{pid}/environ").split(b"\0")
        if mark in entries and not any(entry.startswith(BACKGROUND.encode() + b"=") for entry in entries):
            found.append(pid)
    return found


def family(deployment: str) -> dict[int, str]:
    """Every process that a step of `deployment` began, and all that those did: pids and when they started."""
    return {pid: start_time(pid) for pid in _with_descendants(tagged(deployment))}


def kill_tagged(deployment: str, grace: float, cgroup: str | None = None) -> int:
    """End what a killed runner left: TERM, `grace` seconds, KILL. Blocks; returns how many are left.

    `cgroup` is the ticket's; through it those are found too that cleared their environment.
    """
    group = cgroups.Group.of(cgroup, deployment)

    def look() -> set[int]:
        return {*_with_descendants(tagged(deployment)), *(group.members() if group else ())}

    def find() -> set[int]:
        """Not believed empty at the first look: in the middle of an exec a process shows no tag."""
        if not (found := look()):
            time.sleep(_CONFIRM_SECONDS)
            found = look()
        return found

    for order, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, _KILL_SECONDS)):
        told: set[int] = set()
        deadline = time.monotonic() + seconds
        while found := find():
            for pid in found - told:
                send(pid, order)
            told |= found
            if time.monotonic() >= deadline:
                break
            time.sleep(0.02)
        else:
            if group:
                group.remove()
            return 0
    return len(find())


def send(pid: int, order: int) -> None:
    """Signal a process, or with a negative pid a group, that may be gone or another user's."""
    try:
        os.kill(pid, order)
    except (ProcessLookupError, PermissionError):
        return


def capabilities() -> dict[str, bool]:
    """What this machine offers to end a whole process tree; a runner degrades without any of them."""
    return {
        "prctl": _has_prctl(),
        "proc": os.path.exists(f"{PROC}/self/stat"),
        "children": _has_children_file(),
        "cgroup2": cgroups.writable() is not None,
    }


class Family:
    """The processes of one deployment as its runner sees them: all it began, whoever adopted them since."""

    def __init__(self, deployment: str, group: cgroups.Group | None, subreaper: bool) -> None:
        self._deployment = deployment
        self._group = group
        self._subreaper = subreaper
        self._leader = 0
        self._background: str | None = None
        self._any_background = False
        self._spared: dict[int, str] = {}

    def begin(self, leader: int, background: str | None) -> None:
        """A new step: the process it begins with, and its mark when it means to leave something running."""
        self._leader = leader
        self._background = background
        self._any_background |= background is not None

    def spare(self) -> list[int]:
        """Keep what the current background step left; returns their pids."""
        left = self.find()
        self._spared.update((pid, start_time(pid)) for pid in left)
        self._background = None
        return left

    def find(self, *, thorough: bool = False) -> list[int]:
        """Who is alive. `thorough` looks at the whole machine for those adopted by somebody else."""
        if not os.path.exists(f"{PROC}/self/stat"):
            return [-self._leader] if self._leader and _exists(-self._leader) else []
        found = self._walk_steadily()
        if thorough or not self._subreaper:
            found += [pid for pid in tagged(self._deployment) if not self._is_spared(pid)]
            found += self._group.members() if self._group else []
        return sorted(set(found))

    def kill(self, pids: list[int]) -> None:
        """KILL, at once where the kernel can do it for the whole group."""
        if self._group:
            self._group.kill()
        for pid in pids:
            send(pid, signal.SIGKILL)

    def _walk_steadily(self) -> list[int]:
        """A walk misses whoever is adopted while it goes on, so it must give the same twice."""
        found = sorted(self._walk(os.getpid()))
        for _ in range(_WALKS):
            again = sorted(self._walk(os.getpid()))
            if again == found:
                break
            found = again
        return found

    def _walk(self, root: int) -> list[int]:
        found, todo = [], children(root)
        while todo:
            pid = todo.pop()
            if not self._is_spared(pid):
                found.append(pid)
                todo += children(pid)
        return found

    def _is_spared(self, pid: int) -> bool:
        if not self._any_background:
            return False
        if pid in self._spared and self._spared[pid] == start_time(pid):
            return True
        return variable(pid, BACKGROUND) not in (None, self._background)


def _with_descendants(pids: list[int]) -> list[int]:
    found, todo = [], list(pids)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += [child for child in children(pid) if variable(child, BACKGROUND) is None]
    return found


def _has_prctl() -> bool:
    import ctypes

    value = ctypes.c_int()
    try:
        call = ctypes.CDLL(None).prctl
    except (AttributeError, OSError, TypeError):
        return False
    return bool(call(_GET_CHILD_SUBREAPER, ctypes.byref(value), 0, 0, 0) == 0)


def _has_children_file() -> bool:
    pid = os.getpid()
    return os.path.exists(f"{PROC}/{pid}/task/{pid}/children")


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if len(fields) > 1 else 0


def _stat(pid: int) -> list[bytes]:
    """The fields after the command name, which may hold spaces and brackets: [0] is field 3, the state."""
    return _read(f"{PROC}/{pid}/stat").rpartition(b")")[2].split()


def _command(pid: int) -> str:
    return _read(f"{PROC}/{pid}/comm").decode(errors="replace").strip()


def _all() -> list[int]:
    me = os.getpid()
    return [int(name) for name in _list(PROC) if name.isdecimal() and int(name) != me]


def _list(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def _read(path: str) -> bytes:
    """A small file of /proc; empty when its process is gone or belongs to somebody else."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        data = b""
        while block := os.read(fd, 65536):
            data += block
    except OSError:
        return b""
    finally:
        os.close(fd)
    return data
