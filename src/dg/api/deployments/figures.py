"""The four figures of delivery."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from dg.api.call import Call, Handler, answer
from dg.core.types import Environment


async def get_figures(call: Call) -> Response:
    asked = call.arguments
    found = await call.core.figures.dora(
        call.principal,
        environment=Environment(asked["environment"]),
        service=asked["service"],
        days=asked["days"],
        rows=asked["rows"],
    )
    return answer(found)


HANDLERS: Mapping[str, Handler] = {"getFigures": get_figures}
