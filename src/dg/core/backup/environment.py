"""The backup of one environment: a snapshot of it in the form of every backup, and what is read from one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import closing
from io import BufferedReader, BytesIO
from pathlib import Path
from sqlite3 import connect

from pydantic import ValidationError

from dg import __version__
from dg.core import schema
from dg.core.backup import archive
from dg.core.backup.archive import Member, bad
from dg.core.backup.encryption import Identity, Recipient
from dg.core.backup.models import FORMAT, File, Manifest, Point
from dg.core.backup.reading import read
from dg.core.backup.take import cannot, check_target, finish
from dg.core.clock import Clock
from dg.core.database import Tx, prepare
from dg.core.environments import snapshots
from dg.core.environments.models import Snapshot
from dg.core.environments.vault import Vault
from dg.core.errors import Invalid, NotFound, Refused, Unavailable
from dg.core.keys import Envelope
from dg.core.migrations.upgrade import migrate

_LARGEST = 256 << 20
"""Bytes of a snapshot at most: it is read into memory."""
_KEY_BYTES = 32


def write(
    snapshot: Snapshot, target: Path, recipients: Sequence[Recipient], *, head: Point, made_at: int
) -> Manifest:
    """Write the backup of an environment to `target`, whole or not at all.

    Raises Refused where something stands there, Unavailable when it cannot be written.
    """
    check_target(target)
    content = snapshot.model_dump_json().encode()
    try:
        with archive.writing(target, recipients) as writer:
            sha256 = writer.add(archive.ENVIRONMENT, BytesIO(content), len(content))
            manifest = Manifest(
                format=FORMAT,
                version=__version__,
                made_at=made_at,
                environment=snapshot.environment.value,
                schema={"state": schema.STATE_HEAD},
                head=head,
                counts=_counts(snapshot),
                files={archive.ENVIRONMENT: File(size=len(content), sha256=sha256)},
            )
            finish(writer, manifest)
    except OSError as error:
        raise cannot(target, error) from error
    return manifest


def read_snapshot(
    path: Path, identities: Sequence[Identity], *, sha256: str | None = None
) -> tuple[Manifest, Snapshot]:
    """What the backup of an environment holds; `sha256` is what the file must have.

    Raises Invalid for one that was changed, or is another; NotFound; Refused where none of `identities` opens
    it, or it is of a newer dg or a whole home; Unavailable where it cannot be read.
    """
    found: list[bytes] = []
    try:
        with path.open("rb") as file:
            manifest = read(archive.examine(file, identities), lambda member: _keep(member, found))
            # Whoever knows a public key can make a backup for it.
            if sha256 is not None and digest(file) != sha256:
                raise bad("it is not the file that this server made")
    except FileNotFoundError:
        raise NotFound(f"the file {path.name} of that backup is gone") from None
    except OSError as error:
        raise Unavailable(f"{path.name} cannot be read: {error.strerror}", reason="backup") from error
    if manifest.environment is None:
        raise Refused(
            "this backup is one of a whole home: `dg restore` makes a home of it", reason="whole_home"
        )
    if manifest.schema_.get("state", "") > schema.STATE_HEAD:
        raise Refused(
            f"this backup was made by dg {manifest.version}, which is newer than this dg: "
            "restore it with that version",
            reason="newer_schema",
        )
    return manifest, _parse(b"".join(found), manifest)


def digest(file: BufferedReader) -> str:
    """The SHA-256 of a whole file."""
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


def _keep(member: Member, found: list[bytes]) -> None:
    if member.name == archive.ENVIRONMENT:
        if member.size > _LARGEST:
            raise bad(f"{member.name} is larger than any is")
        found.extend(member.pieces())


def _parse(content: bytes, manifest: Manifest) -> Snapshot:
    try:
        snapshot = Snapshot.model_validate_json(content)
    except ValidationError:
        # What pydantic says repeats parts of the content.
        raise bad("its content is not that of an environment") from None
    if snapshot.environment.value != manifest.environment or _counts(snapshot) != manifest.counts:
        raise bad("its content is not what its manifest says")
    return snapshot


def _counts(snapshot: Snapshot) -> dict[str, int]:
    secrets = sum(map(len, snapshot.values.values()))
    return {"environment_versions": len(snapshot.versions), "environment_secrets": secrets}


def try_out(snapshot: Snapshot, folder: Path, clock: Clock) -> None:
    """Put all of it into a database of its own in `folder`, under another key, and read it again.

    Raises Invalid where it does not come back as it was.
    """
    path = folder / "dg.db"
    prepare(path)
    migrate(path, "state", schema.STATE_HEAD)
    vault = Vault(Envelope([os.urandom(_KEY_BYTES)]), clock)
    newest = snapshot.versions[-1]
    # With one more behind it the newest one is past too.
    whole = snapshot.model_copy(update={"versions": (*snapshot.versions, newest)})
    with closing(connect(path)) as connection:
        tx = Tx(connection)
        snapshots.bring_past(tx, vault, whole)
        again = snapshots.take(tx, vault, snapshot.environment)
    if (again.values, len(again.versions)) != (snapshot.values, len(snapshot.versions)):
        raise Invalid("what came back is not what was backed up", reason="bad_backup")
