"""How the server starts a runner and hands it secrets: a line of JSON and an end mark on standard input."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

END_MARK = b"dg-end\n"
MAX_BYTES = 1 << 20


def command(python: str, run_dir: str, epoch: int) -> list[str]:
    """The argv that starts the runner of `run_dir`. It holds no secret."""
    entry = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")
    return [python, "-I", "-S", entry, run_dir, str(epoch)]


def encode(secrets: Mapping[str, str]) -> bytes:
    """What the server writes to the runner's standard input before it closes it.

    Raises ValueError when that is more than 1 MiB.
    """
    data = json.dumps({"secrets": dict(secrets)}).encode() + b"\n" + END_MARK
    if len(data) > MAX_BYTES:
        raise ValueError(f"the secrets of one deployment are limited to {MAX_BYTES} bytes")
    return data


def read(fd: int) -> dict[str, str] | None:
    """The secrets, or None when the end mark is missing: the server died while it wrote."""
    data = bytearray()
    while len(data) <= MAX_BYTES and (block := os.read(fd, 65536)):
        data += block
    line, newline, mark = bytes(data).partition(b"\n")
    if len(data) > MAX_BYTES or not newline or mark != END_MARK:
        return None
    return _parse(line)


def _parse(line: bytes) -> dict[str, str] | None:
    try:
        secrets = json.loads(line)["secrets"]
        for name, value in secrets.items():
            os.fsencode(name + value)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return dict(secrets)
