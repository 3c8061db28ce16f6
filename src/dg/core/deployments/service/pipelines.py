"""Pipelines as callers see them: register, look, lint."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from dg.core import events
from dg.core.access.models import Action, Principal
from dg.core.database import Tx
from dg.core.deployments import pipeline, store
from dg.core.deployments.models import Page, RegisteredPipeline
from dg.core.deployments.parts import Parts
from dg.core.deployments.remotes import without_userinfo
from dg.core.deployments.service import finding
from dg.core.deployments.sources import Kind as Credential
from dg.core.idempotency import Once, once

_NEWER = 1 << 62
"""More than any revision."""


class PipelineSource(BaseModel):
    """Where a service's code comes from, and with what the server was let in.

    `source` names the entry of the settings' `git.sources`, `credential` what it holds; both None when the
    repository asks for nothing, or knows the server's user in another way.
    """

    model_config = ConfigDict(frozen=True)

    service: str
    git: str
    ref: str
    commit_sha: str
    source: str | None
    credential: Credential | None


class Pipelines:
    """The actions on pipelines. Errors are those of `dg.core.errors`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def register(self, principal: Principal, text: str, once: Once | None = None) -> RegisteredPipeline:
        """Register a service's pipeline, or a new revision of it; the same text again changes nothing.

        The repository must answer. Raises Invalid listing every mistake, Unavailable.
        """
        parts = self._parts
        parts.access.require_somewhere(principal, Action.PIPELINE_WRITE)
        plan = pipeline.parse(text)
        parts.access.require(principal, Action.PIPELINE_WRITE, None, plan.service)
        await parts.git.resolve(plan.service, plan.source.git, plan.source.ref)
        return await parts.db.write(lambda tx: self._register(tx, principal, plan.service, text, once))

    def _register(
        self, tx: Tx, principal: Principal, service: str, text: str, key: Once | None
    ) -> RegisteredPipeline:
        def effect(tx: Tx) -> RegisteredPipeline:
            newest = store.newest_pipeline(tx, service)
            sha256 = pipeline.sha256(text)
            if newest is not None and newest.sha256 == sha256:
                return newest
            registered = RegisteredPipeline(
                service=service,
                revision=newest.revision + 1 if newest else 1,
                sha256=sha256,
                text=text,
                registered_at=self._parts.clock.micros(),
                registered_by=principal.name,
            )
            store.insert_pipeline(tx, registered)
            fact = events.PipelineRegistered(service=service, revision=registered.revision, sha256=sha256)
            tx.append(fact, by=principal)
            return registered

        return once(tx, principal, key, RegisteredPipeline, self._parts.clock, effect)

    async def list(self, principal: Principal) -> tuple[RegisteredPipeline, ...]:
        """The newest revision of every service's pipeline that the caller may see."""
        self._parts.access.require_somewhere(principal, Action.PIPELINE_READ)
        found = await self._parts.db.read(store.newest_pipelines)
        return tuple(one for one in found if finding.visible(principal, one.service))

    async def get(self, principal: Principal, service: str) -> RegisteredPipeline:
        """The newest revision of a service's pipeline. Raises NotFound."""
        return await finding.pipeline(self._parts, principal, service)

    async def history(
        self, principal: Principal, service: str, *, cursor: str | None = None, limit: int = 50
    ) -> Page[RegisteredPipeline]:
        """The revisions of a service's pipeline, newest first."""
        await finding.pipeline(self._parts, principal, service)
        before, limit = finding.cursor(cursor), finding.limit(limit)

        def work(tx: Tx) -> Page[RegisteredPipeline]:
            found = store.pipeline_history(tx, service, _NEWER if before is None else before, limit + 1)
            more = str(found[limit - 1].revision) if len(found) > limit else None
            return Page(items=tuple(found[:limit]), next_cursor=more)

        return await self._parts.db.read(work)

    async def lint(self, principal: Principal, text: str) -> tuple[pipeline.Finding, ...]:
        """What is doubtful in a pipeline that can be read. Raises Invalid listing every mistake."""
        self._parts.access.require_somewhere(principal, Action.PIPELINE_READ)
        return tuple(pipeline.lint(pipeline.parse(text)))

    async def source(self, principal: Principal, service: str) -> PipelineSource:
        """Ask the repository as a deployment would.

        Raises NotFound, Refused when it does not let the server in, Unavailable when it does not answer.
        """
        parts = self._parts
        registered = await finding.pipeline(parts, principal, service)
        source = pipeline.parse(registered.text).source
        await parts.git.fetch(service, source.git)
        resolved = await parts.git.resolve(service, source.git, source.ref)
        use = parts.git.use(source.git)
        return PipelineSource(
            service=service,
            git=without_userinfo(source.git),
            ref=source.ref,
            commit_sha=resolved.commit,
            source=use.source if use else None,
            credential=use.kind if use else None,
        )
