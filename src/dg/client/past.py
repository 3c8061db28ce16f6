"""How environments were at a moment that is over: for the command line and the dashboard."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dg.core.errors import Forbidden
from dg.core.past.models import PastEnvironment
from dg.core.types import Environment

if TYPE_CHECKING:
    from dg.client.app import Client


async def as_of(
    client: Client, then: int, names: Iterable[Environment] = tuple(Environment)
) -> tuple[PastEnvironment, ...]:
    """These environments at `then` (microseconds), as far as the caller may see them.

    Raises Forbidden where that is none, Invalid for the future and for before the record, Refused for a time
    that a restore lost.
    """
    found = await asyncio.gather(*(_one(client, name, then) for name in names))
    seen = tuple(each for each in found if isinstance(each, PastEnvironment))
    if not seen:
        raise next(each for each in found if isinstance(each, Forbidden))
    return seen


async def _one(client: Client, name: Environment, then: int) -> PastEnvironment | Forbidden:
    try:
        return await client.environments.past(name, then)
    except Forbidden as refused:
        return refused
