"""Keeps the last administrator from being locked out: asked in the transaction that takes rights away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dg.core.access import asked, store
from dg.core.access.models import OWNER, SYSTEM, Binding, Principal, Role, Token
from dg.core.access.standing import standing
from dg.core.database import Tx
from dg.core.errors import Refused


@dataclass(frozen=True)
class Taken:
    """What is taken away: a principal as such, or one binding; and whether it made an administrator."""

    was_admin: bool
    principal: str | None = None
    binding: str | None = None


def of_token(tx: Tx, token: Token, now: int) -> Taken:
    """A token, and with it what is bound to it; asked while it still opens something."""
    return of_person(tx, token.person or token.id, now)


def of_person(tx: Tx, person: str, now: int) -> Taken:
    """Something by which a person comes in; asked while it still opens something."""
    found = standing(tx, [person], now).get(person)
    return Taken(was_admin=found is not None and _is_admin(found), principal=person)


def of_binding(binding: Binding) -> Taken:
    """What a binding gave."""
    everywhere = binding.environment is None and binding.service is None
    return Taken(was_admin=everywhere and binding.role == Role.ADMIN, binding=binding.id)


def check(tx: Tx, by: Principal, taken: Taken, now: int) -> None:
    """Raise Refused (`last_admin`) when nobody who is a person administers everything any more.

    Whoever takes it away and still administers everything counts. The owner of the machine may do it, who
    cannot be locked out. Groups do not count, since nobody here knows who is in them.
    """
    if not taken.was_admin or by.id in (OWNER, SYSTEM.id) or _stays(by, taken) or any(_people(tx, now)):
        return
    raise Refused(
        "this takes away the last administrator who is a person: make another one first, "
        "or let the owner of the server's machine do it",
        reason="last_admin",
    )


def _stays(by: Principal, taken: Taken) -> bool:
    """Whether whoever takes it away is an administrator by something else."""
    left = [held for held in by.grants if held.binding is None or held.binding != taken.binding]
    return by.id != taken.principal and _is_admin(by.model_copy(update={"grants": tuple(left)}))


def _is_admin(principal: Principal) -> bool:
    return principal.kind == "person" and any(map(asked.is_admin, principal.grants))


def _people(tx: Tx, now: int) -> Iterator[Principal]:
    """The people who administer everything as things stand in this transaction."""
    bound = {each.subject for each in store.standing_bindings(tx, now) if not asked.is_group(each.subject)}
    candidates = bound | {each.person or each.id for each in store.tokens(tx) if each.kind == "person"}
    candidates |= {session.person for session in store.sessions(tx)}
    yield from filter(_is_admin, standing(tx, candidates, now).values())
