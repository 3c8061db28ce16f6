"""How several grants are kept in one column."""

from __future__ import annotations

import json

from dg.core.access.models import Grant


def written_grants(grants: tuple[Grant, ...]) -> str:
    """Grants as one column."""
    return json.dumps([grant.model_dump(mode="json", exclude_none=True) for grant in grants])


def read_grants(text: str) -> tuple[Grant, ...]:
    """Grants of a column."""
    return tuple(Grant.model_validate(item) for item in json.loads(text))
