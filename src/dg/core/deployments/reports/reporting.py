"""Tells the hosts of repositories what becomes of deployments: the outbox's follower and sender for it.

A message holds no state: what is told is how the deployment is when it is sent, so that only the newest is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dg.core.clock import Clock, Ids
from dg.core.database import Database, Tx
from dg.core.deployments import lifecycle, pipeline, store
from dg.core.deployments.models import Deployment
from dg.core.deployments.reports import github, gitlab
from dg.core.deployments.reports.host import Api, Host, Unwanted, failure
from dg.core.deployments.reports.said import Report, report
from dg.core.deployments.sources import Repository, Sources
from dg.core.errors import Problem
from dg.core.events import StepFinished, StepStarted
from dg.core.http import Outbound
from dg.core.ledger import Entry
from dg.core.outbox import Failed, Message, Outcome, Policy, Sent
from dg.core.outbox import store as outbox
from dg.core.remember import Remembered

KIND = "report"
"""The outbox's word for these messages."""

_UNTOLD = frozenset({StepStarted.type, StepFinished.type})


class _Source(NamedTuple):
    git: str
    branch: str


class Reporting:
    """What is told of deployments from `sources` that say `report`."""

    policy = Policy(attempts=12)

    def __init__(
        self,
        db: Database,
        clock: Clock,
        ids: Ids,
        outbound: Outbound,
        sources: Sources,
        public_url: str | None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._outbound = outbound
        self._sources = sources
        self._public_url = public_url
        self._pipelines: Remembered[_Source] = Remembered(256)

    # --- what is wanted

    def wants(self, entry: Entry) -> bool:
        return self._sources.reports and entry.type.startswith("deployment.") and entry.type not in _UNTOLD

    def project(self, tx: Tx, entries: Sequence[Entry]) -> None:
        for deployment_id in dict.fromkeys(entry.object for entry in entries):
            deployment = store.find(tx, deployment_id)
            if deployment is not None:
                self._want(tx, deployment)

    def _want(self, tx: Tx, deployment: Deployment) -> None:
        repository = self._sources.repository(deployment.service, self._source(tx, deployment).git)
        if repository is None:
            return
        lane = f"{deployment.service}/{deployment.environment.value}"
        for what, key in (
            ("status", f"status {repository.path} {deployment.commit_sha} {lane}"),
            ("deployment", f"deployment {deployment.id}"),
        ):
            outbox.put(
                tx,
                id=self._ids.new(),
                kind=KIND,
                key=key,
                destination=f"{KIND}:{repository.source}",
                payload={"what": what, "deployment": deployment.id},
                now=self._clock.micros(),
            )

    def _source(self, tx: Tx, deployment: Deployment) -> _Source:
        def read() -> _Source:
            source = pipeline.parse(store.snapshot(tx, deployment.pipeline_sha256)).source
            return _Source(source.git, source.ref)

        return self._pipelines.get(deployment.pipeline_sha256, read)

    # --- what is told

    async def send(self, message: Message) -> Outcome:
        """Tell the host how the deployment is by now."""
        now = self._clock.micros()

        def work(tx: Tx) -> tuple[Deployment, _Source] | None:
            found = store.find(tx, message.payload["deployment"])
            return (lifecycle.view(tx, found, now), self._source(tx, found)) if found else None

        known = await self._db.read(work)
        repository = self._sources.repository(known[0].service, known[1].git) if known else None
        if known is None or repository is None:
            return Failed("there is nothing to tell anybody any more", final=True, at_fault="message")
        deployment, source = known
        memory = dict(message.memory)
        try:
            host = await self._host(deployment.service, repository, now)
            told = report(deployment, source.branch, self._public_url)
            return await self._tell(host, message.payload["what"], told, memory)
        except (Problem, Unwanted) as problem:
            return failure(problem, memory)

    async def _tell(self, host: Host, what: str, told: Report, memory: dict[str, Any]) -> Outcome:
        if what == "status":
            return Sent(await host.status(told))
        kept: Mapping[str, Any] = await host.deployment(told, memory)
        return Sent(200, kept)

    async def _host(self, service: str, repository: Repository, now: int) -> Host:
        credential = await self._sources.credential(service, repository.url)
        token = credential.token if credential and credential.token else ""
        if repository.kind == "github":
            base = repository.api or github.base(repository.host)
            return github.GitHub(Api(self._outbound, base, github.headers(token), now), repository.path)
        base = repository.api or gitlab.base(repository.host)
        return gitlab.GitLab(Api(self._outbound, base, gitlab.headers(token), now), repository.path)

    def failed(self, tx: Tx, message: Message, failure: Failed, failures: int, now: int) -> None:
        """Nothing is held: the settings say that it is wanted, and the diagnostics show the trouble."""
