"""`python -m dg.sandbox.lifeline FD ARGUMENTS`: `dg ARGUMENTS` that is told to stop when FD closes.

The sandbox starts its server and its dashboard so: FD is the end of a pipe whose other end is the sandbox's,
and closes however the sandbox ends.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def watch(descriptor: int) -> None:
    while os.read(descriptor, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=watch, args=(int(sys.argv.pop(1)),), name="lifeline", daemon=True).start()
    runpy.run_module("dg", run_name="__main__", alter_sys=True)
