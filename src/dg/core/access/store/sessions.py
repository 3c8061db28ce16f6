"""How sessions are kept, with a digest of the one refresh token that is good now."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.access.sessions import RevokedWhy, Session
from dg.core.access.store.grants import read_grants, written_grants
from dg.core.database import Row, Statement, Tx

_s = schema.sessions
_names = schema.principals
_of = sa.select(_s, _names.c.name).join(_names, _names.c.id == _s.c.person)

_INSERT = Statement(_s.insert())
_ONE = Statement(_of.where(_s.c.id == bindparam("session")))
_ALL = Statement(_of.order_by(_s.c.created_at.desc(), _s.c.id.desc()))
_OF_PERSON = Statement(
    _of.where(_s.c.person == bindparam("whom")).order_by(_s.c.created_at.desc(), _s.c.id.desc())
)
_APPROVED_IN = Statement(_of.where(_s.c.approved_in == bindparam("session"), _s.c.revoked_at.is_(None)))
_ROTATE = Statement(
    _s.update()
    .where(_s.c.id == bindparam("session"), _s.c.generation == bindparam("known"))
    .values(
        generation=bindparam("known") + 1,
        digest=bindparam("new_digest"),
        refreshed_at=bindparam("moment"),
        idle_at=bindparam("idle"),
    )
)
_REVOKE = Statement(
    _s.update()
    .where(_s.c.id == bindparam("session"), _s.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("moment"), revoked_why=bindparam("why"))
)
_PRUNE = Statement(
    _s.delete().where(
        sa.or_(
            _s.c.revoked_at < bindparam("before"),
            _s.c.idle_at < bindparam("before"),
            _s.c.expires_at < bindparam("before"),
        )
    )
)


class Chain(NamedTuple):
    """A session and its refresh token that is good now: its place in the chain, and its digest."""

    session: Session
    generation: int
    digest: str


def insert_session(tx: Tx, session: Session, digest: str) -> None:
    """Keep a new session, whose first refresh token has this digest."""
    row = session.model_dump(mode="json", exclude={"name", "grants"})
    tx.run(_INSERT, **row, grants=written_grants(session.grants), generation=0, digest=digest)


def session(tx: Tx, session_id: str) -> Session | None:
    kept = chain(tx, session_id)
    return kept.session if kept else None


def chain(tx: Tx, session_id: str) -> Chain | None:
    """A session with its place in the chain."""
    row = tx.one(_ONE, session=session_id)
    return Chain(_session(row), row["generation"], row["digest"]) if row else None


def sessions(tx: Tx, person: str | None = None) -> list[Session]:
    """Every session that is kept, or those of one person; newest first."""
    rows = tx.all(_ALL) if person is None else tx.all(_OF_PERSON, whom=person)
    return [_session(row) for row in rows]


def sessions_with(tx: Tx, role: str, now: int) -> int:
    """How many sessions that may still be used have this role as one of their own."""
    living = (each for each in sessions(tx) if each.revoked_at is None and now < each.expires_at)
    return sum(any(grant.role == role for grant in each.grants) for each in living)


def approved_in(tx: Tx, session_id: str) -> list[Session]:
    """Sessions that were approved in another one and are not revoked."""
    return [_session(row) for row in tx.all(_APPROVED_IN, session=session_id)]


def rotate(tx: Tx, kept: Chain, digest: str, *, now: int, idle_at: int) -> bool:
    """Go on to the next refresh token; False when somebody else did first."""
    values = {"session": kept.session.id, "known": kept.generation, "new_digest": digest}
    return tx.run(_ROTATE, **values, moment=now, idle=idle_at) == 1


def revoke_session(tx: Tx, session_id: str, why: RevokedWhy, moment: int) -> bool:
    """True when it was not revoked before."""
    return tx.run(_REVOKE, session=session_id, why=why.value, moment=moment) == 1


def prune_sessions(tx: Tx, before: int) -> int:
    """Forget sessions that were over `before` (microseconds)."""
    return tx.run(_PRUNE, before=before)


def _session(row: Row) -> Session:
    values = {name: row[name] for name in Session.model_fields if name != "grants"}
    return Session.model_validate({**values, "grants": read_grants(row["grants"])})
