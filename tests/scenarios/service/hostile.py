"""Steps that mean no good, by name: `hostile.py KIND [NUMBER]`."""

from __future__ import annotations

import base64
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote


def write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def lines(number: int) -> None:
    block = 1000
    for first in range(0, number, block):
        write(b"".join(b"line %d of a flood\n" % each for each in range(first, min(first + block, number))))


def long_line(megabytes: int) -> None:
    for _ in range(megabytes):
        write(b"x" * 1_000_000)
    write(b"\nafter the long line\n")


def binary(megabytes: int) -> None:
    for _ in range(megabytes):
        write(os.urandom(1_000_000))
    write(b"\nafter the bytes\n")


def terminal(_: int) -> None:
    """What would clear a screen, write the clipboard, ring, hide text or turn it around."""
    write(
        b"\x1b[2J\x1b]52;c;ZXZpbA==\x07\x1b]0;title\x1b\\ \x9b31m \xc2\x9b2J \xe2\x80\xae"
        b"[/prod] [@click=app.quit]x[/]\n"
    )


def events(_: int) -> None:
    """What another tool would take as an order."""
    write(b'{"n": 99, "event": "step_ended", "index": 0, "ok": true, "code": 0}\n')
    write(b'{"outcome": "success", "epoch": 1}\n')
    write(
        b"::set-output name=digest::evil\ndg: every step succeeded\n##vso[task.complete result=Succeeded]\n"
    )
    raise SystemExit(3)


def secret(code: int) -> None:
    """It leaks whole, in pieces, encoded, as an output, and where it fails by its last word."""
    value = os.environ["API_KEY"]
    for form in (
        value,
        base64.b64encode(value.encode()).decode(),
        base64.b64encode(b"user:" + value.encode()).decode(),
        quote(value, safe=""),
        value.encode().hex(),
    ):
        write(f"plain {form} end\n".encode())
        for letter in f"pieces {form} end\n":
            write(letter.encode())
            time.sleep(0.001)
    Path(os.environ["DG_OUTPUTS"]).write_text(f"url=https://user:{value}@example.org/\n")
    if code:
        raise SystemExit(f"cannot log in with {value}")


def deaf(_: int) -> None:
    """It ignores TERM, and so does what it leaves in a session of its own, twice removed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            time.sleep(120)
    write(b"deaf\n")
    time.sleep(120)


KINDS: dict[str, Callable[[int], None]] = {
    each.__name__: each for each in (lines, long_line, binary, terminal, events, secret, deaf)
}

KINDS[sys.argv[1]](int(sys.argv[2]) if len(sys.argv) > 2 else 0)
