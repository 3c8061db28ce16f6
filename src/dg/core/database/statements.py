"""Statements as SQLAlchemy Core builds them, compiled once per dialect to plain SQL."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from dg.core.remember import Remembered

Row = dict[str, Any]


@functools.cache
def _dialect(name: str) -> sa.Dialect:
    if name == "sqlite":
        return sqlite.dialect(paramstyle="named")
    # Imported where it is spoken: it brings half a dozen drivers along, which every start would pay for.
    from sqlalchemy.dialects import postgresql

    dialect = cast(sa.Dialect, postgresql.dialect(paramstyle="pyformat"))  # type: ignore[no-untyped-call]
    # SQLite reads the logs from a file that is attached under a name of its own; here they stand beside.
    dialect.identifier_preparer.schema_for_object = lambda _: ""
    return dialect


@dataclass(slots=True)
class Compiled:
    """A statement's text, the values that stand in it, and the columns it gives once it was run."""

    sql: str
    constants: dict[str, Any]
    columns: tuple[str, ...] = ()


class Statement:
    """A SQLAlchemy Core statement, compiled once per dialect to plain SQL.

    Tables hold only text, integers, floats and bytes, so no value needs a processor on its way in or out.
    """

    __slots__ = ("_clause", "_compiled")

    def __init__(self, clause: sa.ClauseElement) -> None:
        self._clause = clause
        self._compiled: dict[str, Compiled] = {}

    def compiled(self, dialect: str) -> Compiled:
        found = self._compiled.get(dialect)
        if found is None:
            raw = self._clause.compile(dialect=_dialect(dialect), compile_kwargs={"render_postcompile": True})
            constants = {key: value for key, value in raw.params.items() if value is not None}
            found = self._compiled[dialect] = Compiled(str(raw), constants)
        return found


class Shapes:
    """A bounded cache of statements whose text depends on which filters are given."""

    def __init__(self, size: int = 256) -> None:
        self._statements: Remembered[Statement] = Remembered(size)

    def get(self, shape: Hashable, build: Callable[[], sa.ClauseElement]) -> Statement:
        """The statement for `shape`; `build` makes it the first time (values come later, as parameters)."""
        return self._statements.get(shape, lambda: Statement(build()))
