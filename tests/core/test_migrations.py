"""Migrations: they make exactly the tables of the schema, or nothing at all."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from dg.core import schema
from dg.core.database import prepare
from dg.core.errors import Refused
from dg.core.migrations import upgrade
from dg.core.migrations.upgrade import migrate

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
def test_killed_at_any_statement_it_has_the_old_schema_or_the_new_one(tmp_path: Path) -> None:
    whole = shape(make(tmp_path / "whole.db", "state"))
    run = subprocess.run(
        [sys.executable, "-c", _KILLED_AT_EACH_STATEMENT, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    last = int(run.stdout)
    assert last > len(whole) / 2
    for number in range(1, last + 1):
        path = tmp_path / f"{number}.db"
        assert shape(path) == (whole if number == last else {})
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert shape(make(path, "state")) == whole
