"""How it is kept what others vouched for: the rights that somebody's newest token from elsewhere gave."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.access.models import Grant
from dg.core.database import Statement, Tx

_s = schema.seen_rights

_OF = Statement(
    sa.select(_s.c.grants, _s.c.groups)
    .where(_s.c.principal == bindparam("of_principal"), _s.c.until > bindparam("now"))
    .order_by(_s.c.organization)
)
_INSERT = Statement(_s.insert())
_FORGET = Statement(
    _s.delete().where(
        _s.c.principal == bindparam("of_principal"), _s.c.organization == bindparam("of_organization")
    )
)
_FORGET_OTHERS = Statement(
    _s.delete().where(sa.or_(_s.c.mapping != bindparam("current"), _s.c.until <= bindparam("now")))
)


@dataclass(frozen=True, slots=True)
class Seen:
    """Grants and groups of one principal, from all of their organisations."""

    grants: tuple[Grant, ...]
    groups: tuple[str, ...]


def note_seen(
    tx: Tx,
    principal_id: str,
    organization: str,
    grants: Sequence[Grant],
    groups: Sequence[str],
    *,
    mapping: str,
    until: int,
) -> None:
    """Keep what somebody may by their token for one organisation, until a moment; `mapping` says by which
    settings."""
    tx.run(_FORGET, of_principal=principal_id, of_organization=organization)
    tx.run(
        _INSERT,
        principal=principal_id,
        organization=organization,
        grants=json.dumps([grant.model_dump(mode="json") for grant in grants]),
        groups=json.dumps(list(groups)),
        mapping=mapping,
        until=until,
    )


def seen(tx: Tx, principal_id: str, now: int) -> Seen | None:
    """What somebody may by what they showed last; None for who showed nothing that still counts."""
    rows = tx.all(_OF, of_principal=principal_id, now=now)
    if not rows:
        return None
    grants = (Grant.model_validate(grant) for row in rows for grant in json.loads(row["grants"]))
    groups = (group for row in rows for group in json.loads(row["groups"]))
    return Seen(tuple(dict.fromkeys(grants)), tuple(dict.fromkeys(groups)))


def forget_seen(tx: Tx, mapping: str, now: int) -> None:
    """Forget what is over, and what other settings than `mapping` made of tokens."""
    tx.run(_FORGET_OTHERS, current=mapping, now=now)
