"""One open transaction, as the functions see it that services hand to the database."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Protocol

from dg.core.database.statements import Compiled, Row, Statement
from dg.core.events import Fact


class Whence(Protocol):
    """Where a request comes from; both are empty for dg's own work."""

    @property
    def address(self) -> str: ...

    @property
    def request_id(self) -> str: ...


class Author(Protocol):
    """Who makes a fact true: a reference, the way they proved it, where they came from, what they may."""

    @property
    def id(self) -> str: ...

    @property
    def method(self) -> str: ...

    @property
    def impersonated_by(self) -> str | None: ...

    @property
    def origin(self) -> Whence: ...

    @property
    def rights(self) -> str: ...


class Cursor(Protocol):
    """What a transaction needs of a driver's cursor (PEP 249)."""

    @property
    def rowcount(self) -> int: ...

    @property
    def description(self) -> Sequence[Any] | None: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...

    def close(self) -> None: ...


class Connection(Protocol):
    """What a transaction needs of a driver's connection."""

    def execute(self, sql: str, values: Mapping[str, Any], /) -> Cursor: ...


class Tx:
    """One open transaction. Facts appended to it enter the ledger just before it commits."""

    dialect = "sqlite"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.facts: list[tuple[Fact, Author]] = []

    def all(self, statement: Statement, **values: Any) -> list[Row]:
        """Every row, as dictionaries by column name."""
        compiled, cursor = self._execute(statement, values)
        columns = compiled.columns
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]

    def each(self, statement: Statement, **values: Any) -> Generator[Row, None, None]:
        """Row by row; what is not taken is not read."""
        compiled, cursor = self._execute(statement, values)
        with closing(cursor):
            for row in cursor:
                yield dict(zip(compiled.columns, row, strict=True))

    def one(self, statement: Statement, **values: Any) -> Row | None:
        """The first row, or None."""
        compiled, cursor = self._execute(statement, values)
        row = cursor.fetchone()
        return None if row is None else dict(zip(compiled.columns, row, strict=True))

    def values(self, statement: Statement, **values: Any) -> tuple[Any, ...] | None:
        """The first row as it comes, or None."""
        found: tuple[Any, ...] | None = self._execute(statement, values)[1].fetchone()
        return found

    def run(self, statement: Statement, **values: Any) -> int:
        """Rows that changed."""
        return self._execute(statement, values)[1].rowcount

    def append(self, fact: Fact, by: Author) -> None:
        """Make `fact` part of this transaction."""
        self.facts.append((fact, by))

    def _execute(self, statement: Statement, values: dict[str, Any]) -> tuple[Compiled, Cursor]:
        compiled = statement.compiled(self.dialect)
        cursor = self._connection.execute(compiled.sql, {**compiled.constants, **values})
        if not compiled.columns and cursor.description:
            compiled.columns = tuple(column[0] for column in cursor.description)
        return compiled, cursor


Seal = Callable[[Tx], Sequence[Any]]
"""Turns the facts of a transaction into ledger entries, inside it."""
Publish = Callable[[Sequence[Any]], None]
"""Hands the entries of a commit on, after it, in order."""
Waits = Callable[[Mapping[str, str]], None]
"""Told once that another server is active, with its `host`, `path` and `home` where they are known."""
