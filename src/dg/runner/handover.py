"""How the server starts a runner and hands it secrets: a line of JSON and an end mark on standard input.

Nothing of it reaches a disk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import NamedTuple

END_MARK = b"dg-end\n"
MAX_BYTES = 1 << 20


def command(python: str, run_dir: str, epoch: int) -> list[str]:
    """The argv that starts the runner of `run_dir`. It holds no secret."""
    entry = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")
    return [python, "-I", "-S", entry, run_dir, str(epoch)]


class Sealed(str):
    """A ciphertext in a secret's place: the server cannot open it, and the runner asks a command to."""

    __slots__ = ()


class Opener(NamedTuple):
    """The command that opens ciphertexts: one on standard input, its secret on standard output."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    timeout: float


class Handed(NamedTuple):
    """What a runner is given. `sealed` are the names of the secrets that `opener` has to open."""

    secrets: Mapping[str, str]
    sealed: frozenset[str] = frozenset()
    opener: Opener | None = None


def encode(secrets: Mapping[str, str], opener: Opener | None = None) -> bytes:
    """What the server writes to the runner's standard input before it closes it.

    Raises ValueError when that is more than 1 MiB, or a secret is sealed and nothing opens it.
    """
    order: dict[str, object] = {"secrets": dict(secrets)}
    if sealed := sorted(name for name, value in secrets.items() if isinstance(value, Sealed)):
        if opener is None:
            raise ValueError(
                f"the secret `{sealed[0]}` is for the runner alone, and `runner.decrypt` names no command "
                "that opens it"
            )
        order |= {"sealed": sealed, "opener": opener}
    data = json.dumps(order).encode() + b"\n" + END_MARK
    if len(data) > MAX_BYTES:
        raise ValueError(f"the secrets of one deployment are limited to {MAX_BYTES} bytes")
    return data


def read(fd: int) -> Handed | None:
    """What was handed over, or None when the end mark is missing: the server died while it wrote."""
    data = bytearray()
    while len(data) <= MAX_BYTES and (block := os.read(fd, 65536)):
        data += block
    line, newline, mark = bytes(data).partition(b"\n")
    if len(data) > MAX_BYTES or not newline or mark != END_MARK:
        return None
    return _parse(line)


def _parse(line: bytes) -> Handed | None:
    try:
        order = json.loads(line)
        secrets = dict(order["secrets"])
        for name, value in secrets.items():
            os.fsencode(name + value)
        argv, env, timeout = order.get("opener", ((), {}, 0.0))
        opener = Opener(tuple(argv), env, timeout) if argv else None
        return Handed(secrets, frozenset(order.get("sealed", ())), opener)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
