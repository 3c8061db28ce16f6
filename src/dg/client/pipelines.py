"""Pipelines: the TOML texts that say what a deployment of a service does."""

from __future__ import annotations

from dg.client.http import Http, path
from dg.client.models import Finding, PipelineSource
from dg.client.wire import decode
from dg.core.deployments.models import Page, RegisteredPipeline


class Pipelines:
    def __init__(self, http: Http) -> None:
        self._http = http

    async def register(self, text: str, *, key: str | None = None) -> RegisteredPipeline:
        """Make `text` the newest revision for its service. Raises Invalid naming each bad field."""
        return decode(
            RegisteredPipeline, await self._http.write("POST", path("pipelines"), {"text": text}, key=key)
        )

    async def list(self) -> tuple[RegisteredPipeline, ...]:
        """The newest revision of each service."""
        return decode(Page[RegisteredPipeline], await self._http.get(path("pipelines"))).items

    async def get(self, service: str) -> RegisteredPipeline:
        """The newest revision of one service. Raises NotFound."""
        return decode(RegisteredPipeline, await self._http.get(path("pipelines", service)))

    async def history(
        self, service: str, *, cursor: str | None = None, limit: int | None = None
    ) -> Page[RegisteredPipeline]:
        """One page of revisions, newest first."""
        answer = await self._http.get(
            path("pipelines", service, "history"), {"cursor": cursor, "limit": limit}
        )
        return decode(Page[RegisteredPipeline], answer)

    async def source(self, service: str) -> PipelineSource:
        """Let the server ask the service's repository as a deployment would.

        Raises Refused when the repository does not let it in, Unavailable when it does not answer.
        """
        return decode(PipelineSource, await self._http.get(path("pipelines", service, "source")))

    async def lint(self, text: str) -> tuple[Finding, ...]:
        """What is wrong with `text`, or could be better; nothing is registered."""
        answer = await self._http.write("POST", path("pipelines", "lint"), {"text": text})
        return decode(Page[Finding], answer).items
