"""Brings a database to the newest schema; called once at start, by whoever holds the home or the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dg.core.errors import Refused

if TYPE_CHECKING:
    import sqlalchemy as sa

_HERE = Path(__file__).parent
_VERSIONS = {"state": "alembic_version", "logs": "alembic_version_logs"}
"""The tables in which one PostgreSQL database keeps the revisions of both kinds; each SQLite file has one."""


def migrate(path: Path, kind: str, head: str) -> None:
    """Bring the SQLite file `path` (`kind` is "state" or "logs") to revision `head`.

    Raises Refused when the file was written by a newer dg than this one.
    """
    current = _revision(path)
    if current == head:
        return
    _check(current, kind, head, str(path))
    # Alembic and its engine cost 0.2 s to import and are needed only when there is something to migrate.
    import sqlalchemy as sa

    engine = sa.create_engine("sqlite://", creator=lambda: _connect(path), poolclass=sa.pool.NullPool)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.connect() as connection:
        _upgrade(connection, kind, head, _VERSIONS["state"])


def migrate_postgresql(connect: Callable[[], Any], kind: str, head: str, name: str) -> None:
    """Bring one kind of tables in a PostgreSQL database to revision `head`; `name` is what people call it.

    `connect` gives a connection of the driver in autocommit mode. Raises Refused as `migrate` does.
    """
    current = revision_postgresql(connect, kind)
    if current == head:
        return
    _check(current, kind, head, name)
    import sqlalchemy as sa

    def transactional() -> Any:
        connection = connect()
        connection.autocommit = False
        return connection

    engine = sa.create_engine("postgresql+psycopg://", creator=transactional, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        _upgrade(connection, kind, head, _VERSIONS[kind])


def lay_out(connection: sa.Connection, kind: str, head: str) -> None:
    """Make one kind of tables on PostgreSQL within the transaction that is open on `connection`."""
    _upgrade(connection, kind, head, _VERSIONS[kind])


def revision_postgresql(connect: Callable[[], Any], kind: str) -> str | None:
    """The revision of one kind of tables; None where there are none."""
    with closing(connect()) as connection:
        return revision_of(connection, kind)


def revision_of(connection: Any, kind: str) -> str | None:
    """The revision of one kind of tables, as a connection to PostgreSQL sees it; None without them."""
    if connection.execute("SELECT to_regclass(%s)", [_VERSIONS[kind]]).fetchone() == (None,):
        return None
    row = connection.execute(f"SELECT version_num FROM {_VERSIONS[kind]}").fetchone()  # noqa: S608
    return str(row[0]) if row else None


def _check(current: str | None, kind: str, head: str, name: str) -> None:
    known = {file.name.removesuffix(".py") for file in (_HERE / kind).glob("*.py")}
    if current is not None and current not in known:
        raise Refused(
            f"{name} has schema {current}, which this dg does not know (it knows up to {head}): "
            "it was written by a newer dg. Start that version again, or restore a backup made before it ran",
            reason="newer_schema",
        )


def _revision(path: Path) -> str | None:
    connection = sqlite3.connect(path)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return None
    finally:
        connection.close()
    return str(row[0]) if row else None


def _upgrade(connection: sa.Connection, kind: str, head: str, version_table: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.set_main_option("version_locations", str(_HERE / kind).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes["version_table"] = version_table
    config.attributes["connection"] = connection
    command.upgrade(config, head)


def _connect(path: Path) -> sqlite3.Connection:
    # Autocommit: the driver must not end the migration's transaction before a CREATE TABLE.
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    return connection
