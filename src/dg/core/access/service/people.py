"""As whom somebody is let in or gets a token: a person who is known, or somebody new."""

from __future__ import annotations

from dataclasses import dataclass

from dg.core.access import rights, store
from dg.core.access.models import Action, Grant, Principal
from dg.core.access.names import checked_name
from dg.core.access.service.access import Access
from dg.core.access.sessions import Person
from dg.core.access.standing import standing
from dg.core.database import Database, Tx
from dg.core.errors import Refused
from dg.core.events import PersonAdded


@dataclass(frozen=True)
class Whose:
    """A name and who had it when that was looked up; `fresh` is the id of somebody new."""

    name: str
    known: Person | None
    fresh: str

    def settle(self, tx: Tx, by: Principal, now: int) -> Person:
        """The person, made where there is none. Facts: PersonAdded.

        Raises Refused when somebody of that name came in between: what they may was not looked at.
        """
        found = store.person_named(tx, self.name)
        if found != self.known:
            raise Refused("somebody of this name was added just now; look again", reason="stale")
        if found is None:
            found = Person(id=self.fresh, name=self.name, created_at=now)
            store.insert_person(tx, found, by.id)
            tx.append(PersonAdded(person=found.id), by)
        return found


async def whose(
    db: Database, access: Access, principal: Principal, action: Action, name: str, fresh: str
) -> Whose:
    """Whom `name` means. Raises Invalid for no name, and Forbidden when they may do more than the caller may
    give by `action`: whoever comes in their name has what is bound to them, sees what they did, ends their
    sessions, and gives the approvals that count as theirs.
    """
    name = checked_name(name, "person")
    found = await db.read(lambda tx: store.person_named(tx, name))
    if found is not None and found.id != principal.id:
        known, now = found, access.now()
        for grant in await db.read(lambda tx: _held(tx, known, now)):
            access.require_to_give(principal, action, grant, grant.expires_at)
    return Whose(name, found, fresh)


def _held(tx: Tx, person: Person, now: int) -> tuple[Grant, ...]:
    """What somebody has by all that they come with, and what is bound to them though they cannot come now."""
    if (found := standing(tx, [person.id], now).get(person.id)) is not None:
        return found.grants
    nobody = Principal(id=person.id, name=person.name)
    return rights.of(tx, [person.id], now).complete(nobody, now).grants
