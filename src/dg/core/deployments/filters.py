"""The names by which deployments are filtered, and the conditions that lists add of themselves."""

from __future__ import annotations

from sqlalchemy import bindparam

from dg.core import schema
from dg.core.access.models import Action, Principal
from dg.core.access.reach import reach
from dg.core.deployments.models import Kind, Reason, Status
from dg.core.filters import Condition, Field, Fields
from dg.core.filters import Kind as Values
from dg.core.types import Environment

_d = schema.deployments.c

FIELDS: Fields = {
    "id": Field(Values.START, (_d.id,)),
    "number": Field(Values.NUMBER, (_d.number,)),
    "service": Field(Values.WORD, (_d.service,)),
    "env": Field(Values.CHOICE, (_d.environment,), tuple(Environment)),
    "status": Field(Values.CHOICE, (_d.status,), tuple(Status)),
    "kind": Field(Values.CHOICE, (_d.kind,), tuple(Kind)),
    "by": Field(Values.PERSON, (_d.created_by,)),
    "version": Field(Values.WORD, (_d.version,)),
    "sha": Field(Values.START, (_d.commit_sha,)),
    "ref": Field(Values.WORD, (_d.ref,)),
    "reason": Field(Values.CHOICE, (_d.reason,), tuple(Reason)),
    "age": Field(Values.AGE, (_d.created_at,)),
    "dur": Field(Values.DURATION, (_d.started_at, _d.completed_at)),
    "text": Field(
        Values.WORD, (_d.service, _d.environment, _d.version, _d.ref, _d.commit_sha, _d.note, _d.message)
    ),
}


def exactly(**wanted: str | None) -> list[Condition]:
    """One condition per name that has a value: `service`, `environment`, `status`."""
    return [
        Condition(_d[name] == bindparam(f"only_{name}"), {f"only_{name}": str(value)}, ("only", name))
        for name, value in wanted.items()
        if value is not None
    ]


def readable(principal: Principal) -> Condition:
    """The deployments that `principal` may see."""
    return reach(principal, Action.DEPLOYMENT_READ, _d.environment, _d.service)
