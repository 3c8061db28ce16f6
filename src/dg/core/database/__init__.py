"""The way to the database: `await db.write(fn)`, `await db.read(fn)`; `fn(tx)` is plain synchronous code.

Only this package imports the drivers. Services hand it functions that touch nothing but `tx`; it runs them in
a connection's own thread, one hop per transaction.
"""

from __future__ import annotations

from dg.core.database.sqlite import WAL_LIMIT, SqliteDatabase, SqliteFile, open_database, prepare
from dg.core.database.statements import Row, Shapes, Statement
from dg.core.database.transactions import Author, Publish, Seal, Tx, Whence
from dg.core.database.writer import Database

__all__ = [
    "WAL_LIMIT",
    "Author",
    "Database",
    "Publish",
    "Row",
    "Seal",
    "Shapes",
    "SqliteDatabase",
    "SqliteFile",
    "Statement",
    "Tx",
    "Whence",
    "open_database",
    "prepare",
]
