"""SQLite files as a backup sees them: copied beside their writer, examined before anybody relies on them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from dg.core import ledger, schema
from dg.core.audit.service import OriginsWitness
from dg.core.backup.models import Point
from dg.core.database import Tx, prepare
from dg.core.database.address import Address
from dg.core.database.opening import HEADS
from dg.core.deployments.receipts import ReceiptsWitness
from dg.core.errors import Invalid
from dg.core.migrations.upgrade import migrate

_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"


def copy(source: Path, target: Path) -> None:
    """Copy a database as it is at this moment, into one file that needs no other.

    The server that writes to it goes on meanwhile. Raises sqlite3.Error.
    """
    with reading(source) as live, closing(sqlite3.connect(target)) as copied:
        live.backup(copied)
        copied.execute("PRAGMA journal_mode = DELETE")


def copy_postgresql(address: Address, state: Path, logs: Path) -> None:
    """Copy a PostgreSQL database as it is at this moment into two SQLite files, as a home has them.

    Raises Refused where it cannot be used, sqlite3.Error.
    """
    # It brings the driver along.
    from dg.core.database.copying import copy_out

    for path, kind in ((state, "state"), (logs, "logs")):
        prepare(path)
        migrate(path, kind, HEADS[kind])
    copy_out(address, state, logs, HEADS)
    for path in (state, logs):
        with closing(sqlite3.connect(path)) as copied:
            copied.execute("PRAGMA journal_mode = DELETE")


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that never writes: not even the checkpoint of whoever closes a database last."""
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
        yield connection


def revision(path: Path) -> str:
    """The schema that a database has. Raises Invalid when it is damaged or not dg's."""
    with _examining(path) as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0])


def check(path: Path) -> None:
    """Raise Invalid unless every page and index of a database is sound."""
    with _examining(path) as connection:
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != ("ok",):
        raise Invalid(f"{path.name} is damaged: {found[0]}", reason="damaged")


def counts(path: Path) -> dict[str, int]:
    """Rows by table. Raises Invalid when it is damaged."""
    with _examining(path) as connection:
        tables = [name for (name,) in connection.execute(_TABLES)]
        return {
            name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608
            for name in tables
        }


def check_ledger(path: Path) -> Point:
    """The newest entry of a chain that is whole. Raises Invalid where it, or a receipt, is not."""
    # The tables of an older schema may lack what the witnesses look for.
    witnesses = (ReceiptsWitness(), OriginsWitness()) if revision(path) == schema.STATE_HEAD else ()
    with _examining(path) as connection:
        tx = Tx(connection)
        verdict = ledger.check(tx, witnesses)
        newest = ledger.after(tx, verdict.head_seq - 1, 1)
    if not verdict.ok:
        raise Invalid(f"the ledger in {path.name} is not whole: {verdict.message}", reason="bad_ledger")
    return Point(seq=verdict.head_seq, hash=verdict.head_hash, at=newest[0].at if newest else 0)


@contextmanager
def _examining(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with reading(path) as connection:
            yield connection
    except sqlite3.Error as error:
        raise Invalid(f"{path.name} is damaged: {error}", reason="damaged") from None
