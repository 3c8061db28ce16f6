"""What somebody with the database in their hands can do and see."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import psycopg

from dg.core.testing import Ground

INTEGRITY = (sqlite3.IntegrityError, psycopg.IntegrityError)
"""How the databases say that a row cannot be."""


def damage(ground: Ground, script: str) -> None:
    """Run statements past dg."""
    if ground.url is None:
        with closing(sqlite3.connect(ground.home.state)) as other:
            other.executescript(script)
    else:
        with psycopg.connect(ground.url, autocommit=True) as other:
            other.execute(script.encode())


def ask(ground: Ground, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query past dg."""
    if ground.url is None:
        with closing(sqlite3.connect(ground.home.state)) as file:
            return file.execute(sql).fetchall()
    with psycopg.connect(ground.url) as server:
        return server.execute(sql.encode()).fetchall()


def content(ground: Ground) -> bytes:
    """Everything that is kept."""
    if ground.url is None:
        return b"".join(file.read_bytes() for file in ground.home.path.glob("dg.db*"))
    with psycopg.connect(ground.url) as other:
        names = other.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        tables = [other.execute(f"SELECT * FROM {name}".encode()).fetchall() for (name,) in names]  # noqa: S608
    return repr(tables).encode()
