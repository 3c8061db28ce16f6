"""The client's own files: where they are, and whether only their owner can have written and can read them."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from dg.client.errors import NoCredential
from dg.core.errors import Refused

LONGEST_FILE = 64 << 10


def state_folder(environ: Mapping[str, str]) -> Path | None:
    """Where the command line keeps what it remembers (XDG base directories); None without a home."""
    if (state := Path(environ.get("XDG_STATE_HOME", ""))).is_absolute():
        return state / "dg"
    home = environ.get("HOME")
    return Path(home) / ".local" / "state" / "dg" if home else None


def owners_file(path: Path) -> str:
    """The text of a file that only its owner, who is the caller, can have written and can read.

    Raises NoCredential, and FileNotFoundError where there is none.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise NoCredential(f"{path} cannot be read ({error.strerror}): set DG_URL and DG_TOKEN") from error
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid():
            raise NoCredential(f"{path} does not belong to you, so it is not used: set DG_URL and DG_TOKEN")
        if facts.st_mode & 0o077:
            raise NoCredential(f"{path} is open to others, so it is not used: `chmod 600 {path}`")
        return file.read(LONGEST_FILE).decode("utf-8", "replace")


def write_new(path: Path, text: str) -> None:
    """Write a file that is its owner's alone. Raises Refused where there is one, or none can be."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Refused(f"{path} is there already: name another file", reason="exists") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no name of a file"
        raise Refused(f"{path} cannot be written: {why}", reason="unwritable") from None
