"""Brings a database file to the newest schema; called once at start, under the lock on the home."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from dg.core.errors import Refused

_HERE = Path(__file__).parent


def migrate(path: Path, kind: str, head: str) -> None:
    """Bring the SQLite file `path` (`kind` is "state" or "logs") to revision `head`.

    Raises Refused when the file was written by a newer dg than this one.
    """
    current = _revision(path)
    if current == head:
        return
    known = {file.name.removesuffix(".py") for file in (_HERE / kind).glob("*.py")}
    if current is not None and current not in known:
        raise Refused(
            f"{path} has schema {current}, which this dg does not know (it knows up to {head}): "
            "it was written by a newer dg. Start that version again, or restore a backup made before it ran",
            reason="newer_schema",
        )
    _upgrade(path, kind, head)


def _revision(path: Path) -> str | None:
    connection = sqlite3.connect(path)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return None
    finally:
        connection.close()
    return str(row[0]) if row else None


def _upgrade(path: Path, kind: str, head: str) -> None:
    # Alembic costs 0.2 s to import and is needed only when there is something to migrate.
    import sqlalchemy as sa
    from alembic import command
    from alembic.config import Config

    engine = sa.create_engine("sqlite://", creator=lambda: _connect(path), poolclass=sa.pool.NullPool)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.set_main_option("version_locations", str(_HERE / kind).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, head)


def _connect(path: Path) -> sqlite3.Connection:
    # Autocommit: the driver must not end the migration's transaction before a CREATE TABLE.
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    return connection
