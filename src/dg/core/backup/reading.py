"""Holds the files of a backup against its manifest, on their way to a home or to nowhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import ValidationError

from dg.core.backup import archive
from dg.core.backup.archive import Archive, Member, bad
from dg.core.backup.encryption import Identity
from dg.core.backup.models import Manifest, Seen
from dg.core.errors import NotFound, Unavailable

_HOME = frozenset({"dg.db", "logs.db"})
_ENVIRONMENT = frozenset({archive.ENVIRONMENT})


def read(found: Archive, keep: Callable[[Member], object] = lambda member: None) -> Manifest:
    """Give each file to `keep`, which may read it. Raises Invalid unless they are what the manifest says."""
    files: dict[str, tuple[int, str]] = {}
    text = b""
    for member in archive.members(found):
        if member.name == archive.MANIFEST:
            text = _read_manifest(member)
            continue
        keep(member)
        member.skip()
        files[member.name] = (member.size, member.sha256.hexdigest())
    manifest = _parse(text)
    announced = {name: (entry.size, entry.sha256) for name, entry in manifest.files.items()}
    for name in sorted(announced.keys() | files.keys()):
        if announced.get(name) != files.get(name):
            raise bad(f"{name} is not what the manifest says")
    if missing := (_ENVIRONMENT if manifest.environment else _HOME) - files.keys():
        raise bad(f"it has no {min(missing)}")
    return manifest


def verify(path: Path, identities: Sequence[Identity]) -> Seen:
    """Check every byte of a backup, and every file against its manifest; nothing is written.

    Raises Invalid, NotFound, Refused where none of `identities` opens it, Unavailable for a bad disk.
    """
    try:
        with path.open("rb") as file:
            found = archive.examine(file, identities)
            return Seen(path, path.stat().st_size, read(found), found.keys)
    except FileNotFoundError:
        raise NotFound(f"there is no backup {path}") from None
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}", reason="backup") from error


def _read_manifest(member: Member) -> bytes:
    if member.size > archive.LARGEST_MANIFEST:
        raise bad("its manifest is larger than any is")
    return b"".join(member.pieces())


def _parse(text: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(text)
    except ValidationError:
        raise bad("its manifest is missing, or not one that this dg knows") from None
