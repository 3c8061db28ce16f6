"""How values stand in columns, and the conditions that several statements share."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema

IN_LANE = sa.and_(
    schema.deployments.c.service == bindparam("service"),
    schema.deployments.c.environment == bindparam("environment"),
)
"""Deployments of the lane that `service` and `environment` name."""


def one_of(column: sa.ColumnElement[str], *values: str) -> sa.ColumnElement[bool]:
    """True where `column` has one of `values`."""
    # An IN list is rendered late and then wants every other parameter's value at compile time.
    return sa.or_(*(column == value for value in values))


def to_column(value: Any) -> Any:
    """The value as a column takes it: a flag as a number, a mapping as JSON."""
    if isinstance(value, bool):
        return int(value)
    return json.dumps(value) if isinstance(value, dict) else value
