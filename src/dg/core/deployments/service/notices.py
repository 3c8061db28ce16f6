"""Notices of repositories' hosts: proved, kept, and made into deployments where a pipeline says so."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Mapping
from fnmatch import fnmatchcase
from secrets import token_hex

from pydantic import BaseModel, ConfigDict

from dg.core.access import store as access_store
from dg.core.access.models import Action, Grant, Origin, Principal
from dg.core.clock import SECOND
from dg.core.database import Tx
from dg.core.deployments import pipeline
from dg.core.deployments.models import CreateDeployment, RegisteredPipeline
from dg.core.deployments.notices import proofs, store
from dg.core.deployments.notices.hosts import Report, report
from dg.core.deployments.notices.proofs import Proof
from dg.core.deployments.notices.secrets import NoticeSecrets
from dg.core.deployments.parts import Parts
from dg.core.deployments.service import finding
from dg.core.deployments.service.deployments import Deployments
from dg.core.deployments.service.pipelines import Pipelines
from dg.core.errors import Problem, Refused, Unauthenticated, Unavailable
from dg.core.events import NoticeHandled, NoticeReceived
from dg.core.idempotency import Once
from dg.core.tasks import Tasks
from dg.core.types import Environment
from dg.settings.webhooks import IncomingSource

log = logging.getLogger(__name__)

_PATIENCE = 3600 * SECOND
"""For how long (microseconds) a notice waits for a repository that does not answer."""
_MAY = frozenset({Action.DEPLOYMENT_CREATE, Action.DEPLOYMENT_READ, Action.PIPELINE_READ, Action.LANE_READ})


class Accepted(BaseModel):
    """That a notice was taken in. `id` is what events call it, None for one that nobody deploys for."""

    model_config = ConfigDict(frozen=True)

    id: str | None = None
    repeated: bool = False


class Notices:
    """The sources of the settings, and what becomes of what they report."""

    def __init__(
        self,
        parts: Parts,
        secrets: NoticeSecrets,
        deployments: Deployments,
        pipelines: Pipelines,
        tasks: Tasks,
    ) -> None:
        self._parts = parts
        self._secrets = secrets
        self._deployments = deployments
        self._pipelines = pipelines
        self._tasks = tasks
        self._sources = parts.settings.incoming.sources
        self._turn = asyncio.Lock()

    # --- taken in

    async def prove(self, source: str, headers: Mapping[str, str], body: bytes, origin: Origin) -> Proof:
        """That the bytes of a notice come from `source`. Raises Unauthenticated, in the same words always."""
        known = self._sources.get(source)
        # Somebody who guesses names learns nothing from the time either.
        kind, secrets = (known.kind, await self._secrets_of(source)) if known else ("github", ())
        notice = proofs.Notice(
            headers,
            body,
            self._parts.clock.micros() / SECOND,
            self._parts.settings.incoming.tolerance,
        )
        found = proofs.proof(kind, source, secrets or (token_hex(),), notice)
        if found is None:
            raise self._parts.access.unproved(
                Unauthenticated("this webhook is not known here, or its signature is missing or wrong"),
                origin,
            )
        return found

    async def accept(
        self, proof: Proof, headers: Mapping[str, str], value: object, origin: Origin
    ) -> Accepted:
        """Keep what a proved notice says, once, and begin to work on it. Raises Invalid for no notice."""
        found = report(self._sources[proof.source].kind, headers, value)
        if found is None:
            return Accepted()
        notice = store.Kept(self._parts.ids.new(), proof.source, found, self._parts.clock.micros())
        by = self._principal(proof.source).model_copy(update={"origin": origin})

        def work(tx: Tx) -> Accepted:
            if before := store.seen(tx, proof.source, proof.delivery, proof.digest):
                return Accepted(id=before, repeated=True)
            store.insert(tx, notice, proof.delivery, proof.digest)
            access_store.set_name(tx, by.id, by.name, by.kind)
            fact = NoticeReceived(
                notice=notice.id, source=notice.source, what=found.event, ref=found.ref, commit=found.commit
            )
            tx.append(fact, by)
            return Accepted(id=notice.id)

        accepted = await self._parts.db.write(work)
        if not accepted.repeated:
            self._tasks.spawn("handle notices", self.handle())
        return accepted

    async def _secrets_of(self, source: str) -> tuple[str, ...]:
        try:
            return await asyncio.to_thread(self._secrets.of, source)
        except Refused as problem:
            log.error("%s; its notices are refused", problem.message)
            return ()

    def _principal(self, source: str) -> Principal:
        name = f"webhook {source}"
        return Principal(
            id=f"webhook:{source}",
            name=name,
            kind="service",
            method="webhook",
            grants=_grants(self._sources[source]),
        )

    # --- handled

    async def handle(self) -> None:
        """Ask for the deployments of what was taken in. For a job, and at once after each new notice."""
        async with self._turn:
            waiting = await self._parts.db.read(store.waiting)
            await asyncio.gather(*map(self._handle, waiting))

    async def _handle(self, notice: store.Kept) -> None:
        made: list[str] = []
        refusals: list[str] = []
        if notice.source not in self._sources:
            log.warning("a notice of %s is dropped: the source is no longer in the settings", notice.source)
            await self._parts.db.write(lambda tx: store.handled(tx, notice.id, self._parts.clock.micros()))
            return
        by = self._principal(notice.source)
        try:
            for registered in await self._pipelines.list(by):
                if notice.report.is_about(pipeline.parse(registered.text).source.git):
                    await self._ask(by, notice, registered, made, refusals)
        except Unavailable as problem:
            if self._parts.clock.micros() - notice.received_at < _PATIENCE:
                log.warning("a notice of %s waits: %s", notice.source, problem.message)
                return
            refusals.append(problem.message)

        def work(tx: Tx) -> None:
            if store.handled(tx, notice.id, self._parts.clock.micros()):
                fact = NoticeHandled(
                    notice=notice.id, source=notice.source, deployments=made, refusals=refusals
                )
                tx.append(fact, by)

        await self._parts.db.write(work)

    async def _ask(
        self,
        by: Principal,
        notice: store.Kept,
        registered: RegisteredPipeline,
        made: list[str],
        refusals: list[str],
    ) -> None:
        """Ask for what the pipeline names for this report. Raises Unavailable."""
        service, found = registered.service, notice.report
        try:
            environments = await self._environments(registered, found)
        except Unavailable:
            raise
        except Problem as problem:
            refusals.append(f"{service}: {problem.message}")
            return
        for environment in environments:
            request = CreateDeployment(
                environment=environment,
                service=service,
                ref=found.ref,
                commit_sha=found.commit,
                note=f"{found.event} {found.ref}, reported by {notice.source}",
            )
            once = Once(f"notice:{notice.id}:{service}:{environment}", notice.id)
            try:
                made.append((await self._deployments.create(by, request, once)).id)
            except Unavailable:
                raise
            except Problem as problem:
                refusals.append(f"{service}/{environment}: {problem.message}")

    async def _environments(self, registered: RegisteredPipeline, found: Report) -> list[Environment]:
        """Those that a rule of the pipeline, as it is on its protected branch, names for this report."""
        rules = pipeline.parse(await finding.text(self._parts, registered)).triggers
        wanted = [
            rule.environment
            for rule in rules
            if rule.event == found.event and fnmatchcase(found.ref, rule.ref)
        ]
        return list(dict.fromkeys(wanted))


def _grants(source: IncomingSource) -> tuple[Grant, ...]:
    places = itertools.product(source.environments or (None,), source.services or (None,))
    return tuple(
        Grant(
            role="webhook",
            actions=_MAY,
            environment=Environment(environment) if environment else None,
            service=service,
        )
        for environment, service in places
    )
