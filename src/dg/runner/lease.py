"""The kernel lock of a lane: who holds the file's `flock` may touch what the lane deploys to.

The runner takes it and its steps inherit it; the server takes it to judge a lane whose runner is gone.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from typing import NamedTuple


class Holder(NamedTuple):
    """Who wrote itself into the lease file last; `start_time` is "" where the machine has no /proc."""

    deployment: str
    pid: int
    start_time: str
    epoch: int


def take(path: str) -> int | None:
    """Lock the lease and return its descriptor, or None when it is held. The file is made with mode 0600."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def take_within(path: str, seconds: float) -> int | None:
    """Like `take`, but tries for so long: whoever holds it may be ending just now."""
    deadline = time.monotonic() + seconds
    while (fd := take(path)) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return fd


def release(fd: int) -> None:
    """Give the lease back, also for processes that inherited the descriptor."""
    fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


def held(path: str) -> bool:
    """True while any process holds the lease."""
    if not os.path.exists(path):
        return False
    fd = take(path)
    if fd is None:
        return True
    release(fd)
    return False


def sign(fd: int, holder: Holder) -> None:
    """Write `holder` into the lease held by `fd`."""
    os.ftruncate(fd, 0)
    os.pwrite(fd, json.dumps(holder._asdict()).encode(), 0)


def holder(path: str) -> Holder | None:
    """The last one who signed, alive or not; None for a lease that was never signed."""
    try:
        with open(path, "rb") as file:
            raw = json.loads(file.read(4096))
        return Holder(str(raw["deployment"]), int(raw["pid"]), str(raw["start_time"]), int(raw["epoch"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
