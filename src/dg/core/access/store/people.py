"""How people are kept."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.access.names import one_name
from dg.core.access.sessions import Person
from dg.core.access.store.principals import set_name
from dg.core.database import Statement, Tx

_p = schema.people
_names = schema.principals
_of = sa.select(_p.c.id, _names.c.name, _p.c.created_at).join(_names, _names.c.id == _p.c.id)

_INSERT = Statement(_p.insert())
_ONE = Statement(_of.where(_p.c.id == bindparam("person")))
_NAMED = Statement(_of.where(_p.c.reading == bindparam("wanted")))


def insert_person(tx: Tx, person: Person, by: str) -> None:
    """Keep somebody new; fails when somebody has a name that reads alike."""
    reading = one_name(person.name)
    tx.run(_INSERT, id=person.id, reading=reading, created_at=person.created_at, created_by=by)
    set_name(tx, person.id, person.name, "person")


def person(tx: Tx, person_id: str) -> Person | None:
    row = tx.one(_ONE, person=person_id)
    return Person.model_validate(row) if row else None


def person_named(tx: Tx, name: str) -> Person | None:
    """Whoever has this name, or one that reads alike."""
    row = tx.one(_NAMED, wanted=one_name(name))
    return Person.model_validate(row) if row else None
