"""Opens the secrets that the server cannot: with an admin's command, whose output nobody sees."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping

from dg.runner import processes
from dg.runner.handover import Handed, Opener

SHORTEST = 6
"""Bytes of a secret. A shorter one cannot be masked in a log without hiding ordinary text."""
LONGEST = 32 * 1024
"""Bytes of a secret: well within what one environment variable may hold."""


class CannotOpen(Exception):
    """A secret stays closed; the sentence says why, and repeats nothing of it."""


def open_all(handed: Handed, deployment: str) -> Mapping[str, str]:
    """All secrets as steps get them. A line break at the end of an opened one does not count.

    Raises CannotOpen.
    """
    if handed.opener is None:
        return handed.secrets
    opened = {
        name: _open(handed.opener, name, handed.secrets[name], deployment) for name in sorted(handed.sealed)
    }
    return {**handed.secrets, **opened}


def _open(opener: Opener, name: str, ciphertext: str, deployment: str) -> str:
    what = f"`{opener.argv[0]}`, which should open the secret `{name}`,"
    try:
        code, printed = _run(opener, ciphertext, {**opener.env, processes.TAG: deployment})
    except subprocess.TimeoutExpired:
        raise CannotOpen(
            f"{what} did not end within {opener.timeout:g} s (`runner.decrypt_timeout`)"
        ) from None
    except OSError as error:
        raise CannotOpen(f"{what} cannot be run: {error.strerror}") from None
    if code:
        # What it said may be a part of the secret.
        raise CannotOpen(f"{what} ended with code {code}; run it by hand to see why")
    try:
        value = printed.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise CannotOpen(f"{what} printed no text; encode what is not, as base64 does") from None
    if not SHORTEST <= len(value.encode()) <= LONGEST or "\0" in value:
        raise CannotOpen(
            f"{what} printed what cannot be one: {SHORTEST} bytes to {LONGEST // 1024} KiB without NUL"
        )
    return value


def _run(opener: Opener, ciphertext: str, env: Mapping[str, str]) -> tuple[int, bytes]:
    process = subprocess.Popen(
        opener.argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=dict(env),
        cwd="/",
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(ciphertext.encode(), opener.timeout)
        return process.returncode, printed
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
