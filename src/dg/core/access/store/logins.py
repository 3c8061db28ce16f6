"""How logins are kept, with a digest of their codes."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.access.sessions import Login, LoginApproval
from dg.core.access.store.grants import read_grants, written_grants
from dg.core.database import Row, Statement, Tx

_l = schema.logins

_INSERT = Statement(_l.insert())
_OF_DEVICE = Statement(sa.select(_l).where(_l.c.device_digest == bindparam("digest")))
_OF_USER = Statement(sa.select(_l).where(_l.c.user_digest == bindparam("digest")))
_ONE = Statement(sa.select(_l).where(_l.c.id == bindparam("login")))
_waits = sa.and_(_l.c.state == "pending", _l.c.expires_at > bindparam("now"))
_PENDING = Statement(sa.select(sa.func.count().label("count")).where(_waits))
_WAITING = Statement(sa.select(_l.c.id, _l.c.address).where(_waits).order_by(_l.c.asked_at, _l.c.id))
_one = _l.update().where(_l.c.id == bindparam("login"))
_DECIDE = Statement(
    _one.values(
        state=bindparam("new_state"),
        decided_by=bindparam("by"),
        decided_at=bindparam("moment"),
        person=bindparam("whom"),
        grants=bindparam("given"),
        approved_in=bindparam("own"),
        ends_at=bindparam("end"),
    )
)
_DROP = Statement(_l.delete().where(_l.c.id == bindparam("login")))
_USE = Statement(_one.values(state="used", session=bindparam("opened")))
_PRUNE = Statement(_l.delete().where(_l.c.expires_at < bindparam("before")))


class KeptLogin(NamedTuple):
    """A login with what was decided: the approval, and the session that it became."""

    login: Login
    approval: LoginApproval | None
    session: str | None


def insert_login(tx: Tx, login: Login, *, device: str, user: str) -> None:
    """Keep a login with the digests of its two codes."""
    tx.run(
        _INSERT,
        id=login.id,
        device_digest=device,
        user_digest=user,
        name=login.name,
        host=login.host,
        address=login.address,
        state=login.state.value,
        asked_at=login.asked_at,
        expires_at=login.expires_at,
        decided_by=None,
        decided_at=None,
        person=None,
        grants=None,
        approved_in=None,
        ends_at=None,
        session=None,
    )


def login_of_device(tx: Tx, digest: str) -> KeptLogin | None:
    """The login whose device code has this digest."""
    return _kept(tx.one(_OF_DEVICE, digest=digest))


def login_of_user(tx: Tx, digest: str) -> KeptLogin | None:
    """The login whose user code has this digest."""
    return _kept(tx.one(_OF_USER, digest=digest))


def login(tx: Tx, login_id: str) -> KeptLogin | None:
    return _kept(tx.one(_ONE, login=login_id))


def pending_logins(tx: Tx, now: int) -> int:
    """How many wait for a person."""
    return int(tx.all(_PENDING, now=now)[0]["count"])


def waiting_logins(tx: Tx, now: int) -> list[tuple[str, str]]:
    """Those that wait for a person, with the address that each comes from, the oldest first."""
    return [(row["id"], row["address"]) for row in tx.all(_WAITING, now=now)]


def drop_login(tx: Tx, login_id: str) -> None:
    """Forget one, whose codes are good for nothing then."""
    tx.run(_DROP, login=login_id)


def decide(tx: Tx, login: Login, approval: LoginApproval | None) -> None:
    """Keep what was decided, as `login` says it by now; without an approval it is denied."""
    tx.run(
        _DECIDE,
        login=login.id,
        new_state=login.state.value,
        by=login.decided_by,
        moment=login.decided_at,
        whom=approval.person if approval else None,
        given=written_grants(approval.grants) if approval else None,
        own=approval.approved_in if approval else None,
        end=approval.ends_at if approval else None,
    )


def use_login(tx: Tx, login_id: str, session: str) -> None:
    """The login has become `session`."""
    tx.run(_USE, login=login_id, opened=session)


def prune_logins(tx: Tx, before: int) -> int:
    """Forget logins that were over `before` (microseconds)."""
    return tx.run(_PRUNE, before=before)


def _kept(row: Row | None) -> KeptLogin | None:
    if row is None:
        return None
    approval = None
    if row["grants"] is not None:
        approval = LoginApproval(
            person=row["person"],
            grants=read_grants(row["grants"]),
            approved_in=row["approved_in"],
            ends_at=row["ends_at"],
        )
    login = Login.model_validate({name: row[name] for name in Login.model_fields})
    return KeptLogin(login, approval, row["session"])
