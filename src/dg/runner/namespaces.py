"""Takes the network from a process: a network namespace of its own, in which only loopback is up.

As root the child does it on its way to the step's program. Another user needs a user namespace for it, which
a process can enter only after an exec has made it an ordinary one: `wrap` puts this file in front.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ctypes

_NEW_USER = 0x10000000
_NEW_NETWORK = 0x40000000
_NO_NEW_PRIVS = 38
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_UP = 1


def leave_network() -> None:
    """Cut the calling process, and all it will begin, off the network. Raises OSError.

    It cannot gain rights any more either (`sudo`): with them it could come back.
    """
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        _unshare(_NEW_NETWORK)
    else:
        _unshare(_NEW_USER | _NEW_NETWORK)
        # A group can be mapped only by who cannot shed groups, with which files may be closed to it.
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    _bring_loopback_up()
    if _libc().prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise _error()


def wrap(argv: Sequence[str]) -> list[str]:
    """The command line that leaves the network and then executes `argv`."""
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), *argv]


def _unshare(flags: int) -> None:
    if _libc().unshare(flags) != 0:
        raise _error()


def _libc() -> ctypes.CDLL:
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _error() -> OSError:
    import ctypes

    number = ctypes.get_errno()
    return OSError(number, f"the network cannot be taken from a step here: {os.strerror(number)}")


def _bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0)
        _, flags = struct.unpack("16sH14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _UP))


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _main(argv: list[str]) -> int:
    try:
        leave_network()
        os.execvp(argv[0], argv)  # noqa: S606 -- the step's own command
    except OSError as error:
        os.write(2, f"dg: {argv[0]} could not start: {error.strerror}\n".encode())
    return 127


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
