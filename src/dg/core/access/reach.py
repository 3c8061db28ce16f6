"""What somebody's grants reach, as SQL: lists are filtered by it, not refused."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core.access.models import Action, Principal
from dg.core.filters import Condition


def reach(
    principal: Principal, action: Action, environment: sa.ColumnElement[Any], service: sa.ColumnElement[Any]
) -> Condition:
    """Rows whose `environment` and `service` some grant of `principal` with `action` reaches.

    The same rule as `Principal.may`: a row that has no environment is reached only by a grant that is not
    narrowed to one.
    """
    grants = [grant for grant in principal.grants if action in grant.actions]
    params: dict[str, Any] = {}
    clauses = []
    for index, grant in enumerate(grants):
        narrowed = []
        for name, column, value in (
            (f"reach_env_{index}", environment, grant.environment),
            (f"reach_svc_{index}", service, grant.service),
        ):
            if value is not None:
                params[name] = str(value)
                narrowed.append(column == bindparam(name))
        clauses.append(sa.and_(sa.true(), *narrowed))
    shape = ("reach", tuple((grant.environment is None, grant.service is None) for grant in grants))
    return Condition(sa.or_(sa.false(), *clauses), params, shape)
