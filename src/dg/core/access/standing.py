"""Who principals are by now and what they may, by their ids: for what they decided before."""

from __future__ import annotations

from collections.abc import Iterable

from dg.core.access import store
from dg.core.access.models import OWNER, Grant, Principal, Role
from dg.core.database import Tx

CLERK = "clerk:"
"""How the ids of those begin for whom Clerk vouches: what it said last is all that is known here."""


def standing(tx: Tx, ids: Iterable[str], now: int) -> dict[str, Principal]:
    """Those of `ids` who may do anything at `now` (microseconds), with the rights that they have then."""
    found = {principal_id: _standing(tx, principal_id, now) for principal_id in set(ids)}
    return {principal_id: principal for principal_id, principal in found.items() if principal}


def _standing(tx: Tx, principal_id: str, now: int) -> Principal | None:
    if principal_id == OWNER:
        name = store.name(tx, OWNER) or OWNER
        return Principal(id=OWNER, name=name, method="local", grants=(Grant(role=Role.ADMIN),))
    if principal_id.startswith(CLERK):
        return _seen(tx, principal_id, now)
    token = store.find(tx, principal_id)
    if token is None or token.revoked_at is not None or token.expires_at <= now:
        return None
    return token.principal()


def _seen(tx: Tx, principal_id: str, now: int) -> Principal | None:
    seen = store.seen(tx, principal_id, now)
    if seen is None:
        return None
    return Principal(
        id=principal_id,
        name=store.name(tx, principal_id) or principal_id,
        method="clerk",
        grants=seen.grants,
        groups=seen.groups,
    )
