"""Who principals are by now and what they may, by their ids: for what they decided before."""

from __future__ import annotations

from collections.abc import Iterable

from dg.core.access import rights, store
from dg.core.access.models import OWNER, Grant, Principal, Role
from dg.core.access.sessions import Person
from dg.core.access.store import keys
from dg.core.database import Tx

CLERK = "clerk:"
"""How the ids of those begin for whom Clerk vouches: what it said last is all that is known here."""


def standing(tx: Tx, ids: Iterable[str], now: int) -> dict[str, Principal]:
    """Those of `ids` who may do anything at `now` (microseconds), with the rights that they have then."""
    wanted = set(ids)
    if not wanted:
        return {}
    found = [_grouped(tx, principal) for each in wanted if (principal := _standing(tx, each, now))]
    subjects = {subject for principal in found for subject in (principal.id, *principal.groups)}
    bound = rights.of(tx, subjects, now)
    return {principal.id: bound.complete(principal, now) for principal in found}


def _standing(tx: Tx, principal_id: str, now: int) -> Principal | None:
    if principal_id == OWNER:
        name = store.name(tx, OWNER) or OWNER
        return Principal(id=OWNER, name=name, method="local", grants=(Grant(role=Role.ADMIN),))
    if principal_id.startswith(CLERK):
        return _seen(tx, principal_id, now)
    if somebody := store.person(tx, principal_id):
        return _person(tx, somebody, now)
    credential = store.find(tx, principal_id) or keys.find(tx, principal_id)
    if credential is None or credential.revoked_at is not None or credential.expires_at <= now:
        return None
    return credential.principal()


def _grouped(tx: Tx, principal: Principal) -> Principal:
    """The same with the user groups of their accounts in Slack."""
    groups = [group for account in store.slack_accounts_of(tx, principal.id) for group in account.groups]
    if principal.kind != "person" or not groups:
        return principal
    return principal.model_copy(update={"groups": (*principal.groups, *dict.fromkeys(groups))})


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


def _person(tx: Tx, person: Person, now: int) -> Principal | None:
    """Somebody with all that their sessions and tokens give them; a session that idles gives it still, for it
    ends for the sake of the machine that it is on."""
    grants = [
        grant
        for session in store.sessions(tx, person.id)
        if session.revoked_at is None and now < session.expires_at
        for grant in session.grants
    ]
    grants += [
        token.grant
        for token in store.tokens_of(tx, person.id)
        if token.revoked_at is None and now < token.expires_at
    ]
    return (
        Principal(id=person.id, name=person.name, method="session", grants=tuple(grants)) if grants else None
    )
