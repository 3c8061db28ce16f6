"""Copies both SQLite files of a home into an empty PostgreSQL database, and a database into such files."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psycopg
import sqlalchemy as sa

from dg.core import schema
from dg.core.database.address import Address
from dg.core.database.postgresql import SNAPSHOT, PostgresqlTx, clean
from dg.core.database.session import Connection, connect, unreachable
from dg.core.database.transactions import Tx
from dg.core.errors import Invalid, Refused
from dg.core.migrations.upgrade import lay_out, revision_of

_TABLES = "SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
_ROWS = 1000


def copy_home(
    state: Path, logs: Path, address: Address, heads: Mapping[str, str], check: Callable[[Tx], None]
) -> dict[str, int]:
    """Rows by table, of two SQLite files with the newest schema that nobody writes to.

    `check` looks at the copy before it is committed, and raises where it is not good. Raises Refused for a
    database that is not empty or cannot be used, Invalid for files that are damaged.
    """
    try:
        with closing(connect(address)) as connection:
            connection.autocommit = False
            return _fill(connection, address, state, logs, heads, check)
    except psycopg.OperationalError as error:
        raise unreachable(address, error) from None
    except sqlite3.Error as error:
        raise Invalid(f"the home's own data is damaged: {error}", reason="damaged") from None


def _fill(
    connection: Connection,
    address: Address,
    state: Path,
    logs: Path,
    heads: Mapping[str, str],
    check: Callable[[Tx], None],
) -> dict[str, int]:
    engine = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: connection, poolclass=sa.pool.StaticPool
    )
    with engine.begin() as target:
        _check_empty(connection, address)
        for kind, head in heads.items():
            lay_out(target, kind, head)
        copied = _copy_tables(state, connection, schema.state) | _copy_tables(logs, connection, schema.logs)
        check(PostgresqlTx(connection))
    return copied


def _check_empty(connection: Connection, address: Address) -> None:
    (count,) = connection.execute(_TABLES).fetchone() or (None,)
    if count is None:
        raise Refused(f"the {address} has no schema to make tables in", reason="database_unusable")
    if count:
        raise Refused(
            f"the {address} is not empty, and a move replaces nothing: make a new one with `createdb`",
            reason="database_not_empty",
        )


def _copy_tables(file: Path, target: Connection, tables: sa.MetaData) -> dict[str, int]:
    with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as source:
        return {table.name: _copy(source, target, table) for table in tables.sorted_tables}


def _copy(source: sqlite3.Connection, target: Connection, table: sa.Table) -> int:
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    rows = source.execute(f'SELECT {columns} FROM "{table.name}"')  # noqa: S608 - names of the schema
    count = 0
    with (
        target.cursor() as cursor,
        cursor.copy(f'COPY "{table.name}" ({columns}) FROM STDIN'.encode()) as copy,
    ):
        while some := rows.fetchmany(_ROWS):
            for row in some:
                copy.write_row([clean(value) for value in row])
            count += len(some)
    _compare(target, table, count)
    _advance(target, table)
    return count


def copy_out(address: Address, state: Path, logs: Path, heads: Mapping[str, str]) -> None:
    """Fill two SQLite files, which have the newest schema and no rows, with all that a database holds.

    It is as it was at one moment; whoever writes to it goes on meanwhile. Raises Refused for a database that
    cannot be used or has another schema.
    """
    try:
        with closing(connect(address)) as connection:
            connection.execute(SNAPSHOT)
            _check_revisions(connection, address, heads)
            for file, tables in ((state, schema.state), (logs, schema.logs)):
                _fetch_tables(connection, file, tables)
    except psycopg.OperationalError as error:
        raise unreachable(address, error) from None


def _check_revisions(connection: Connection, address: Address, heads: Mapping[str, str]) -> None:
    for kind, head in heads.items():
        found = revision_of(connection, kind)
        if found != head:
            raise Refused(
                f"the {address} has schema {found}, and this dg works with {head}: "
                "use the dg that its server runs",
                reason="other_schema",
            )


def _fetch_tables(source: Connection, file: Path, tables: sa.MetaData) -> None:
    with closing(sqlite3.connect(file)) as target:
        for table in tables.sorted_tables:
            _fetch(source, target, table)
        target.commit()


def _fetch(source: Connection, target: sqlite3.Connection, table: sa.Table) -> None:
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    marks = ", ".join("?" * len(table.columns))
    with source.cursor(f"all of {table.name}") as rows:
        rows.itersize = _ROWS
        rows.execute(f'SELECT {columns} FROM "{table.name}"'.encode())  # noqa: S608 - names of the schema
        target.executemany(f'INSERT INTO "{table.name}" ({columns}) VALUES ({marks})', rows)  # noqa: S608


def _compare(target: Connection, table: sa.Table, count: int) -> None:
    found = target.execute(f'SELECT count(*) FROM "{table.name}"'.encode()).fetchone()  # noqa: S608
    if found != (count,):
        raise RuntimeError(f"{table.name} has {count} rows here and {found} there")


def _advance(target: Connection, table: sa.Table) -> None:
    """Let the numbers that the database gives go on after those that were given."""
    column = table.autoincrement_column
    if column is not None:
        highest = f'SELECT max("{column.name}") FROM "{table.name}" HAVING count(*) > 0'  # noqa: S608
        sequence = f"pg_get_serial_sequence('{table.name}', '{column.name}')"
        target.execute(f"SELECT setval({sequence}, highest) FROM ({highest}) AS t(highest)".encode())  # noqa: S608
