"""One OpenAPI document out of several contracts, for tools that take one: `dg contracts bundle` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dg.api.contract import Document
from dg.api.docs.joined import join

TITLE = "Production Deployment API"
DESCRIPTION = "API for production deployment and monitoring"


def bundle(documents: Mapping[str, Document]) -> dict[str, Any]:
    """Every operation and component of `documents` by name, at the servers that they name themselves."""
    first = next(iter(documents.values()))
    info = {"title": TITLE, "description": DESCRIPTION}
    joined = join(documents)
    return {**joined, "info": {**joined["info"], **info}, "servers": first["servers"]}
