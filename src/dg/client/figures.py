"""The four figures of delivery, as a caller of the API sees them."""

from __future__ import annotations

from dg.client.http import Http, path
from dg.client.wire import decode
from dg.core.deployments.figures import DoraFigures
from dg.core.types import Environment


class Figures:
    """How a team delivers."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def dora(
        self,
        *,
        environment: Environment = Environment.PRODUCTION,
        service: str | None = None,
        days: int = 30,
        rows: bool = False,
    ) -> DoraFigures:
        """The four figures over the last `days`; `rows` adds what each was counted from. Raises NotFound."""
        query = {
            "environment": environment.value,
            "service": service,
            "days": days,
            "rows": "true" if rows else None,
        }
        return decode(DoraFigures, await self._http.get(path("deployments", "figures"), query))
