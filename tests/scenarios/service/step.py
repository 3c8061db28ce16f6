"""What the service of these tests runs as a step: it writes down by itself when it began and when it ended.

    step.py NAME SECONDS [daemon] [PATH]

A line of the journal is `S|E|O deployment step pid seconds`: began, ended, and O for what must never be:
another step of the same lane is at work. With `daemon` it leaves a process behind, in a session of its own;
with a path it goes on when that is there.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from pathlib import Path

JOURNAL = os.environ["DG_ENV_JOURNAL"]


def note(kind: str, name: str) -> None:
    line = f"{kind} {os.environ['DG_ID']} {name} {os.getpid()} {time.time():.6f}\n"
    journal = os.open(JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(journal, line.encode())
    os.close(journal)


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def leave_daemon() -> None:
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
        os._exit(0)


def main(name: str, seconds: float, *more: str) -> None:
    lane = os.open(f"{JOURNAL}.{os.environ['DG_ENVIRONMENT']}", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lane, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        note("O", name)
    note("S", name)
    say(f"{name} began")
    if "daemon" in more:
        leave_daemon()
    time.sleep(seconds)
    while any(word.startswith("/") and not Path(word).exists() for word in more):
        time.sleep(0.01)
    say(f"{name} ended")
    note("E", name)


main(sys.argv[1], float(sys.argv[2]), *sys.argv[3:])
