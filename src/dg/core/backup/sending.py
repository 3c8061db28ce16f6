"""Takes a backup elsewhere by an administrator's own command: S3, restic, or whatever reads a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from dg.core.command import run
from dg.core.errors import Unavailable
from dg.core.text import plain
from dg.settings.backup import Backup

_SAID = 4096
"""Bytes of what it prints that are read."""


async def send(path: Path, settings: Backup, environ: Mapping[str, str]) -> None:
    """Give the file to the settings' command, if there is one: on standard input, and by its path.

    Raises Unavailable when it cannot be run, takes too long or ends with another code than 0.
    """
    if not settings.command:
        return
    name = plain(settings.command[0], limit=200)
    env = {**environ, "DG_BACKUP_FILE": str(path), "DG_BACKUP_NAME": path.name}
    try:
        # Opened only, in no time; the command reads it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            ended = await run(
                settings.command, env=env, timeout=settings.command_timeout, cap=_SAID, stdin=descriptor
            )
        finally:
            os.close(descriptor)
    except TimeoutError:
        raise _failed(path, f"`{name}` did not end within {settings.command_timeout:g} seconds") from None
    except OSError as error:
        raise _failed(path, f"`{name}` cannot be run: {error.strerror}") from None
    if ended.code:
        said = plain(ended.stderr.strip() or ended.stdout.strip(), limit=200)
        raise _failed(path, f"`{name}` ended with code {ended.code}" + (f": {said}" if said else ""))


def _failed(path: Path, why: str) -> Unavailable:
    return Unavailable(f"{path.name} was made, and not taken elsewhere: {why}", reason="backup")
