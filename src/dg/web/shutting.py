"""What a dashboard's process may not: it acts for a person of the network, on a machine that is not theirs.

Landlock (Linux 5.13) keeps it from every file but Python's and the system's, from writing any, and from
starting programs, whatever the dashboard comes to offer.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from dg.runner import processes

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_BENEATH = 1
_NO_NEW_PRIVS = 38

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_FIRST = (1 << 13) - 1
"""Executing, reading, writing, making and removing, as the first version knows them."""
_LATER = ((2, 1 << 13), (3, 1 << 14))
"""By version: moving to another folder, cutting files short."""

_SYSTEM = ("/usr", "/lib", "/lib64", "/etc", "/run/systemd/resolve", "/proc/self")
_DEVICES = ("/dev/null",)


def can_shut_in() -> bool:
    """Whether this system has Landlock."""
    return _version() > 0


def shut_in(readable: Iterable[Path] = ()) -> None:
    """Bound this process before it has threads; `readable` is what it may read beside Python and the system.

    Where Landlock is missing, it can still neither write into files nor be looked into. Raises OSError.
    """
    processes.prctl(processes.SET_DUMPABLE, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if version := _version():
        _restrict(version, [*_python(), *map(Path, _SYSTEM), *readable])


def _python() -> Iterator[Path]:
    yield from map(Path, (sys.prefix, sys.base_prefix, sys.exec_prefix))
    yield from (Path(entry) for entry in sys.path if entry and Path(entry) != Path("/"))


def _restrict(version: int, readable: Iterable[Path]) -> None:
    handled = _FIRST | sum(right for since, right in _LATER if version >= since)
    attributes = struct.pack("=Q", handled)
    rules = _call(_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for path in readable:
            _allow(rules, path, _READ_FILE | _READ_DIR)
        for device in _DEVICES:
            _allow(rules, Path(device), _READ_FILE | _WRITE_FILE)
        if not processes.prctl(_NO_NEW_PRIVS, 1):
            raise OSError("PR_SET_NO_NEW_PRIVS is refused")
        _call(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        # What is not there need not be read.
        return
    try:
        if not path.is_dir():
            rights &= ~_READ_DIR
        _call(_ADD_RULE, rules, _BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)


def _version() -> int:
    if sys.platform != "linux":
        return 0
    try:
        return _call(_CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def _call(number: int, *arguments: int | bytes | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    passed = (ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    result = int(libc.syscall(ctypes.c_long(number), *passed))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
