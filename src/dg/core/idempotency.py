"""The same request twice has one effect: the key is kept in the transaction that has the effect.

So there is nothing in between: after a crash either both are there or neither. Shape and meaning of the
Idempotency-Key: draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.clock import Clock
from dg.core.database import Author, Statement, Tx
from dg.core.errors import Mismatch

M = TypeVar("M", bound=BaseModel)

_table = schema.idempotency
_FIND = Statement(
    sa.select(_table.c.fingerprint, _table.c.answer).where(
        _table.c.principal == bindparam("principal"), _table.c.key == bindparam("key")
    )
)
_INSERT = Statement(_table.insert())
_PRUNE = Statement(_table.delete().where(_table.c.at < bindparam("before")))


@dataclass(frozen=True)
class Once:
    """A caller's key and the SHA-256 of what it asked with it."""

    key: str
    fingerprint: str


def once(tx: Tx, by: Author, wish: Once | None, model: type[M], clock: Clock, effect: Callable[[Tx], M]) -> M:
    """Run `effect` unless `wish` was fulfilled before; then return that first answer.

    Raises Mismatch when the key came with another request.
    """
    if (answer := seen(tx, by, wish, model)) is not None:
        return answer
    answer = effect(tx)
    if wish is not None:
        tx.run(
            _INSERT,
            principal=by.id,
            key=wish.key,
            fingerprint=wish.fingerprint,
            answer=answer.model_dump_json(),
            at=clock.micros(),
        )
    return answer


def seen(tx: Tx, by: Author, wish: Once | None, model: type[M]) -> M | None:
    """The first answer given for `wish`, None when there is none yet. Raises Mismatch as `once` does."""
    found = tx.one(_FIND, principal=by.id, key=wish.key) if wish else None
    if wish is None or found is None:
        return None
    if found["fingerprint"] != wish.fingerprint:
        raise Mismatch(
            "this Idempotency-Key was used for another request; send a new key with a new request",
            key=wish.key,
        )
    return model.model_validate_json(found["answer"])


def prune(tx: Tx, before: int) -> int:
    """Forget keys older than `before` (microseconds)."""
    return tx.run(_PRUNE, before=before)
