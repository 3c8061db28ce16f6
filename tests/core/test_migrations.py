"""Migrations: they make exactly the tables of the schema, or nothing at all."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from tests.observed import Observed
from tests.postgresql import TEMPLATE, Cluster

from dg.core import schema
from dg.core.database import prepare
from dg.core.database.address import parse_address
from dg.core.database.session import connect
from dg.core.errors import Refused
from dg.core.migrations import upgrade
from dg.core.migrations.upgrade import migrate, migrate_postgresql

KINDS = {"state": (schema.state, schema.STATE_HEAD), "logs": (schema.logs, schema.LOGS_HEAD)}


def make(path: Path, kind: str) -> Path:
    prepare(path)
    migrate(path, kind, KINDS[kind][1])
    return path


def shape(path: Path) -> dict[str, object]:
    """Tables, columns, keys and indexes as SQLite has them; `alembic_version` apart."""
    found: dict[str, object] = {}
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            if table in ("alembic_version", "sqlite_sequence"):
                continue
            columns = connection.execute(f"PRAGMA table_xinfo({table})").fetchall()
            found[table] = {
                (name, type_, null, default, key) for _, name, type_, null, default, key, _ in columns
            }
            for _, index, unique, origin, partial in connection.execute(
                f"PRAGMA index_list({table})"
            ).fetchall():
                parts = tuple(row[2] for row in connection.execute(f"PRAGMA index_info({index})").fetchall())
                name = index if origin == "c" else ""
                found[f"{table} {name} {parts}"] = (unique, origin, partial, where(connection, index))
    return found


def where(connection: sqlite3.Connection, index: str) -> str:
    row = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (index,)).fetchone()
    text = (row[0] or "") if row else ""
    return " ".join(text.partition("WHERE")[2].split())


@pytest.mark.parametrize("kind", KINDS)
def test_migrations_make_the_tables_of_the_schema(tmp_path: Path, kind: str) -> None:
    migrated = make(tmp_path / "migrated.db", kind)
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'created.db'}", poolclass=sa.pool.NullPool)
    KINDS[kind][0].create_all(engine)
    found = shape(migrated)
    assert found == shape(tmp_path / "created.db")
    assert {table.name for table in KINDS[kind][0].sorted_tables} <= set(found)


_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        pg_get_expr(d.adbin, d.adrelid)
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0
"""
_INDEXES = "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'"


def shape_on_postgresql(url: str) -> set[tuple[object, ...]]:
    """Columns, keys and indexes as PostgreSQL has them; `alembic_version` apart."""
    with psycopg.connect(url) as connection:
        rows = [*connection.execute(_COLUMNS).fetchall(), *connection.execute(_INDEXES).fetchall()]
    return {row for row in rows if not row[0].startswith("alembic_version")}


def make_on_postgresql(url: str, kind: str) -> None:
    address = parse_address(url)
    migrate_postgresql(lambda: connect(address), kind, KINDS[kind][1], str(address))


@pytest.mark.parametrize("kind", KINDS)
def test_migrations_make_the_same_tables_on_postgresql(cluster: Cluster, kind: str) -> None:
    migrated, created = cluster.create(), cluster.create()
    make_on_postgresql(migrated, kind)
    address = parse_address(created)
    engine = sa.create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(address.conninfo),
        poolclass=sa.pool.NullPool,
    )
    KINDS[kind][0].create_all(engine)
    found = shape_on_postgresql(migrated)
    assert found == shape_on_postgresql(created)
    assert {table.name for table in KINDS[kind][0].sorted_tables} == {row[0] for row in found}
    make_on_postgresql(migrated, kind)
    assert found == shape_on_postgresql(migrated)
    for url in (migrated, created):
        cluster.drop(url)


def test_an_old_dg_refuses_a_newer_schema_on_postgresql_too(cluster: Cluster) -> None:
    url = cluster.create(TEMPLATE)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Refused, match="written by a newer dg") as caught:
        make_on_postgresql(url, "state")
    assert caught.value.reason == "newer_schema"
    cluster.drop(url)


def test_a_migration_that_fails_half_way_leaves_nothing_on_postgresql(cluster: Cluster) -> None:
    url = cluster.create()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE tokens (id text)")
    with pytest.raises(sa.exc.ProgrammingError, match='"tokens" already exists'):
        make_on_postgresql(url, "state")
    assert {row[0] for row in shape_on_postgresql(url)} == {"tokens"}
    cluster.drop(url)


@pytest.mark.parametrize("kind", KINDS)
def test_migrating_again_changes_nothing(tmp_path: Path, kind: str) -> None:
    path = make(tmp_path / "x.db", kind)
    before = path.read_bytes()
    migrate(path, kind, KINDS[kind][1])
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", KINDS)
def test_each_head_is_its_last_revision(kind: str) -> None:
    folder = Path(upgrade.__file__).parent / kind
    revisions = {file.stem for file in folder.glob("*.py")}
    texts = [file.read_text() for file in folder.glob("*.py")]
    followed = {name for name in revisions if any(f'down_revision = "{name}"' in text for text in texts)}
    assert revisions - followed == {KINDS[kind][1]}


def test_an_old_dg_refuses_a_newer_schema_and_leaves_it_alone(tmp_path: Path) -> None:
    path = make(tmp_path / "x.db", "state")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = path.read_bytes()
    with pytest.raises(Refused, match="written by a newer dg") as caught:
        migrate(path, "state", schema.STATE_HEAD)
    assert caught.value.reason == "newer_schema"
    assert path.read_bytes() == before


def test_a_home_with_a_percent_sign_and_spaces_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "100% my home"
    folder.mkdir()
    assert shape(make(folder / "x.db", "logs"))


def test_a_migrated_file_is_private_and_in_wal_mode(tmp_path: Path) -> None:
    path = make(tmp_path / "x.db", "state")
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)


def test_a_migration_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    prepare(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE tokens (id)")
    with pytest.raises(sa.exc.OperationalError, match="tokens already exists"):
        migrate(path, "state", schema.STATE_HEAD)
    assert list(shape(path)) == ["tokens"]


_KILLED_AT_EACH_STATEMENT = """
import itertools, os, signal, sys
from pathlib import Path
import alembic.command
import sqlalchemy as sa
from dg.core import schema
from dg.core.database import prepare
from dg.core.migrations.upgrade import migrate

def killed_at(number, path):
    count = itertools.count(1)

    def execute(*_):
        if next(count) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(sa.Engine, "before_cursor_execute", execute)
    sa.event.listen(sa.Engine, "commit", execute)
    prepare(path)
    migrate(path, "state", schema.STATE_HEAD)

for number in itertools.count(1):
    path = Path(sys.argv[1]) / f"{number}.db"
    child = os.fork()
    if child == 0:
        killed_at(number, path)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        print(number)
        break
"""


@pytest.mark.long
def test_killed_at_any_statement_it_has_the_old_schema_or_the_new_one(
    tmp_path: Path, observed: Observed
) -> None:
    """R32: a migration is one transaction, and the next start makes it again."""
    whole = shape(make(tmp_path / "whole.db", "state"))
    run = subprocess.run(
        [sys.executable, "-c", _KILLED_AT_EACH_STATEMENT, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    last = int(run.stdout)
    assert last > len(whole) / 2
    torn = 0
    for number in range(1, last + 1):
        path = tmp_path / f"{number}.db"
        torn += shape(path) != (whole if number == last else {})
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert shape(make(path, "state")) == whole
    observed("R32", "a migration killed at each of its statements", "schemas torn", torn, at_most=0)
