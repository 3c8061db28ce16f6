"""Where requests came from, beside the ledger: an entry holds a salted hash of it, so that it can be erased.

The hash is over `salt|address|request id`. Whoever has the row can prove it, nobody can guess it without the
salt, and when the row is gone the chain still verifies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.database import Row, Statement, Tx, Whence

SALT = 16
"""Bytes."""

_o = schema.origins

_INSERT = Statement(_o.insert())
_BETWEEN = Statement(
    sa.select(_o).where(_o.c.seq >= bindparam("first"), _o.c.seq <= bindparam("last")).order_by(_o.c.seq)
)
_PRUNE = Statement(_o.delete().where(_o.c.at < bindparam("before")))


def keep(tx: Tx, seq: int, at: int, origin: Whence, salt: bytes) -> str:
    """Keep where the entry `seq` came from; the hash that the entry is to hold."""
    row = {"salt": salt.hex(), "address": origin.address, "request_id": origin.request_id}
    tx.run(_INSERT, seq=seq, at=at, **row)
    return fingerprint(row)


def fingerprint(row: Row) -> str:
    """What an entry holds of where it came from: SHA-256 in hexadecimal digits."""
    said = "|".join((row["salt"], row["address"], row["request_id"]))
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def between(tx: Tx, first: int, last: int) -> Sequence[Row]:
    """What is kept of these entries, by `seq`."""
    return tx.all(_BETWEEN, first=first, last=last)


def prune(tx: Tx, before: int) -> int:
    """Forget where what happened before a moment (microseconds) came from."""
    return tx.run(_PRUNE, before=before)
