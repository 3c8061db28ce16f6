"""`python -m dg.sandbox.lifeline ARGUMENTS`: `dg ARGUMENTS` that is told to stop when its input closes.

The sandbox starts its server so: the pipe's other end is the sandbox, and closes however the sandbox ends.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def watch() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=watch, name="lifeline", daemon=True).start()
    runpy.run_module("dg", run_name="__main__", alter_sys=True)
