"""Drives deployments: gives free lanes to whoever is next, starts runners, follows them, adopts live ones.

The rows are the truth and every move is a transaction of `lifecycle`; this loop may die at any instant and
the next one goes on from the rows and the run folders.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dg.core import tracing
from dg.core.clock import SECOND
from dg.core.database import Row, Tx
from dg.core.deployments import (
    abandoned,
    confinement,
    endings,
    lanes,
    lifecycle,
    pipeline,
    probed,
    retries,
    store,
)
from dg.core.deployments.endings import Ending
from dg.core.deployments.gates import keeper
from dg.core.deployments.logs import Writer, forget, open_writer
from dg.core.deployments.models import ACTIVE, Deployment, Kind, News, Reason, Remains
from dg.core.deployments.parts import Parts, Run, Runners
from dg.core.deployments.receipts import log_of
from dg.core.errors import Problem, Unavailable
from dg.core.home import Place
from dg.core.tasks import Tasks

log = logging.getLogger(__name__)

_SLOWEST_POLL = 0.25
_AGAIN = 1.0


class Lost(Exception):
    """This run was taken over or abandoned: whatever this server still has to say about it is void."""


class Dispatcher:
    """One per server. `run` is its loop; `wake` tells it that something may be due."""

    def __init__(self, parts: Parts, runners: Runners, tasks: Tasks) -> None:
        self._parts = parts
        self._runners = runners
        self._tasks = tasks
        self._wake = asyncio.Event()
        self._runs: dict[str, Run] = {}
        self._watched: set[str] = set()
        self._abandoned: set[str] = set()
        self._starts: dict[str, int] = {}
        self._draining = False
        self._drained = asyncio.Event()

    @property
    def active(self) -> int:
        """Deployments that are being followed."""
        return len(self._watched)

    def wake(self) -> None:
        """Look at the lanes again, now."""
        self._wake.set()

    async def drain(self) -> None:
        """Start nobody any more but rollbacks, and wait until nothing runs; for good."""
        self._draining = True
        self.wake()
        await self._drained.wait()

    async def cancel(self, deployment_id: str) -> None:
        """Pass a cancellation, which the row already says, on to the runner; safe to repeat.

        Raises Unavailable when the runner cannot be told.
        """
        if run := self._runs.get(deployment_id):
            try:
                await run.cancel()
            except OSError as error:
                raise Unavailable(
                    f"the cancellation is noted, but the runner cannot be told ({error.strerror}); ask again",
                    reason="runner",
                ) from error

    def abandon(self, deployment: Deployment) -> None:
        """Follow a run no more, whose row says that it was abandoned, and free its lane when it is gone."""
        if deployment.id in self._watched:
            self._abandoned.add(deployment.id)
        self._outlive(deployment.id, deployment.lane)

    async def run(self) -> None:
        """Take over what runs, then give lanes away until cancelled."""
        await self._renew_demands()
        unfinished, left_lanes = await self._unfinished()
        at_work = {deployment.id for deployment in unfinished} | {row["left_by"] for row in left_lanes}
        left = await self._runners.with_work() - at_work
        for row in left_lanes:
            self._outlive(row["left_by"], (row["service"], row["environment"]))
        self._tasks.spawn("clear up", self._clear_up(left))
        for deployment in unfinished:
            if deployment.status in ACTIVE:
                self._follow(deployment, fresh=False)
        while True:
            self._wake.clear()
            try:
                wait = await self._give_lanes()
                if self._draining and not self._watched:
                    self._drained.set()
            except Unavailable as error:
                log.warning("the lanes could not be looked at: %s", error)
                wait = _AGAIN
            # Not wait_for: before Python 3.12 it swallows a cancellation that meets a wake-up.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    async def _renew_demands(self) -> None:
        """Before the first lane is given: the environments' demands may have been changed meanwhile."""
        parts = self._parts
        while True:
            try:
                await parts.db.write(lambda tx: keeper.renew(tx, parts.protection, parts.clock.micros()))
            except Unavailable as error:
                log.warning("what the environments demand is looked at again in a second: %s", error)
                await parts.clock.sleep(_AGAIN)
            else:
                return

    async def _unfinished(self) -> tuple[list[Deployment], list[Row]]:
        while True:
            try:
                return await self._parts.db.read(lambda tx: (store.unfinished(tx), store.left_lanes(tx)))
            except Unavailable as error:
                log.warning("what runs cannot be looked up; trying again: %s", error)
                await self._parts.clock.sleep(_AGAIN)

    async def _clear_up(self, deployment_ids: Iterable[str]) -> None:
        """Remove what a server that died left of ended runs: among files that steps wrote may be secrets."""
        for deployment_id in deployment_ids:
            await self._runners.discard_work(deployment_id)

    async def _give_lanes(self) -> float | None:
        """Start whoever is next in each lane; seconds until something becomes due, None for never."""
        parts = self._parts
        now = parts.clock.micros()
        candidates, due = await parts.db.read(lambda tx: _candidates(tx, now, rollbacks_only=self._draining))
        given = [await self._give_lane(*lane) for lane in candidates]
        if not all(given):
            return _AGAIN
        return None if due is None else max(0.0, (due - now) / SECOND) + 0.001

    async def _give_lane(self, service: str, environment: str) -> bool:
        """Start whoever is next in one lane; False when that could not be found out."""
        parts = self._parts
        samples = parts.settings.deployments.eta_samples

        def start(tx: Tx) -> Deployment | None:
            started = lifecycle.start_next(tx, service, environment, parts.clock.micros(), samples)
            if started:
                store.set_place(tx, started.id, parts.place)
            return started

        try:
            started = await parts.db.write(start)
        except Unavailable:
            raise
        except Exception:
            # Whatever is wrong with one lane, the others' deployments must still start.
            log.exception("nobody can be started in %s/%s", service, environment)
            return False
        if started:
            self._follow(started, fresh=True)
        return True

    # --- one run ---------------------------------------------------------------------------------

    def _follow(self, deployment: Deployment, *, fresh: bool) -> None:
        self._watched.add(deployment.id)
        self._tasks.spawn(f"run {deployment.id}", self._drive(deployment, fresh=fresh))

    async def _drive(self, deployment: Deployment, *, fresh: bool) -> None:
        try:
            with tracing.span("run", _traced(deployment, fresh=fresh)):
                await self._drive_to_its_end(deployment, fresh=fresh)
        except Lost:
            log.warning("deployment %s is not followed any more: taken over or abandoned", deployment.id)
        finally:
            self._abandoned.discard(deployment.id)
            self._runs.pop(deployment.id, None)
            self._watched.discard(deployment.id)
            self._parts.followers.changed(deployment.id)
            self.wake()

    async def _drive_to_its_end(self, deployment: Deployment, *, fresh: bool) -> None:
        while True:
            try:
                if fresh:
                    run = await self._launch(deployment)
                else:
                    run = await self._take_over(deployment)
                if run is not None:
                    await self._watch(deployment, run)
                return
            except Unavailable as error:
                # The runner goes on by itself; its folder keeps everything until the database is back.
                log.warning("deployment %s is followed again in a second: %s", deployment.id, error)
            except Lost:
                raise
            except Exception:
                log.exception("deployment %s could not be followed; trying again", deployment.id)
            await self._parts.clock.sleep(_AGAIN)
            fresh = False
            current = await self._reread(deployment)
            if current is None:
                return
            deployment = current

    async def _reread(self, deployment: Deployment) -> Deployment | None:
        while True:
            try:
                current = await self._parts.db.read(lambda tx: store.require(tx, deployment.id))
            except Unavailable:
                await self._parts.clock.sleep(1.0)
            else:
                return current if current.status in ACTIVE else None

    async def _launch(self, deployment: Deployment) -> Run | None:
        """Start the runner; a deployment that cannot be started fails with the reason."""
        parts = self._parts
        try:
            ticket, secrets = await self._prepare(deployment)
            await parts.logs.write(lambda tx: forget(tx, deployment.id))
            run = await self._runners.launch(deployment.lane, ticket, secrets)
        except Unavailable:
            raise
        except (Problem, OSError) as error:
            await self._conclude(
                deployment, Ending("failed", Reason.STEP_FAILED, f"it could not be started: {error}")
            )
            return None
        self._runs[deployment.id] = run
        current = await parts.db.read(lambda tx: store.require(tx, deployment.id))
        if current.cancel_requested_at is not None:
            await run.cancel()
        return run

    async def _prepare(self, deployment: Deployment) -> tuple[dict[str, Any], dict[str, str]]:
        parts = self._parts
        text = await parts.db.read(lambda tx: store.snapshot(tx, deployment.pipeline_sha256))
        plan = pipeline.parse(text)
        inputs = inputs_of(deployment)
        steps = retries.to_run(deployment, pipeline.render(plan, inputs))
        names = sorted({name for step in steps for name in step["secrets"]})
        secrets = await parts.secrets.get(deployment.service, deployment.environment, names)
        await confinement.check(parts, steps)
        probed.check(parts, deployment.environment, steps)
        passed = {*parts.settings.runner.env_pass, *plan.defaults.env_pass}
        environment = {name: parts.environ[name] for name in passed if name in parts.environ}
        area = self._runners.area(deployment.id) if any(step["user"] for step in steps) else None
        folder = area or self._runners.folder(deployment.id)
        limits = parts.settings.logs
        return {
            "deployment": deployment.id,
            "epoch": deployment.epoch,
            "checkout": {
                "git_dir": str(parts.git.path(deployment.service)),
                "commit": deployment.commit_sha,
                "work": str(folder / "work"),
            },
            "area": None if area is None else str(area),
            "limits_required": parts.settings.runner.limits == "required",
            "grace": plan.defaults.grace,
            "env": environment | pipeline.variables(plan, inputs) | _trace(),
            "limits": {
                "line_bytes": limits.line_bytes,
                "head_bytes": limits.head_bytes,
                "tail_bytes": limits.tail_bytes,
                "file_bytes": limits.file_bytes,
            },
            "outputs": deployment.outputs,
            "steps": steps,
        }, secrets

    async def _take_over(self, deployment: Deployment) -> Run | None:
        """Adopt the live run of a server that died, or end what it left behind."""
        place = await self._parts.db.read(lambda tx: store.place(tx, deployment.id))
        elsewhere = None if place == self._parts.place else place
        if elsewhere is not None and not self._runners.folder(deployment.id).is_dir():
            await self._conclude(deployment, _out_of_reach(elsewhere))
            return None
        while True:
            self._check_followed(deployment)
            run = await self._runners.find(deployment.id, deployment.lane)
            if run is not None:
                break
            remains = await self._runners.clear(deployment.id, deployment.lane)
            if remains is not None:
                left = self._runners.left(deployment.id, deployment.lane)
                await self._take_rest(deployment, await self._writer(deployment), left)
                await self._bury(deployment, remains, elsewhere)
                return None
        self._runs[deployment.id] = run
        adopted = await self._write(deployment, self._adopt)
        if adopted.cancel_requested_at is not None:
            await run.cancel()
        return run

    def _adopt(self, tx: Tx, deployment: Deployment) -> Deployment:
        store.set_place(tx, deployment.id, self._parts.place)
        return lifecycle.adopt(tx, deployment)

    async def _watch(self, deployment: Deployment, run: Run) -> None:
        """Follow a run until it ended: lines, events, end, in this order."""
        parts = self._parts
        deployment = await parts.db.read(lambda tx: store.require(tx, deployment.id))
        writer = await self._writer(deployment)
        pause = parts.settings.runner.poll
        teller = probed.Teller(parts, run, deployment.environment, await run.asked_probes())
        while True:
            self._check_followed(deployment)
            await teller.tell()
            news = await run.news(deployment.spool_seq, writer.next_seq)
            deployment = await self._take_in(deployment, writer, news)
            if news.end is not None and not news.chunks:
                await self._conclude(deployment, ending_of(news.end))
                await self._runners.discard_work(deployment.id)
                return
            if not news.alive and news.end is None:
                remains = await self._runners.clear(deployment.id, deployment.lane)
                if remains is not None:
                    await self._take_rest(deployment, writer, run)
                    await self._bury(deployment, remains)
                    return
            busy = bool(news.chunks or news.events)
            pause = parts.settings.runner.poll if busy else min(pause * 1.2, _SLOWEST_POLL)
            await parts.clock.sleep(0.0 if news.chunks else pause)

    def _check_followed(self, deployment: Deployment) -> None:
        if deployment.id in self._abandoned:
            raise Lost

    def _outlive(self, deployment_id: str, lane: tuple[str, str]) -> None:
        self._tasks.spawn(f"outlive {deployment_id}", self._free_in_time(deployment_id, lane))

    async def _free_in_time(self, deployment_id: str, lane: tuple[str, str]) -> None:
        await abandoned.free_in_time(self._parts, self._runners, deployment_id, lane)
        self.wake()

    async def _writer(self, deployment: Deployment) -> Writer:
        limits = self._parts.settings.logs
        return await open_writer(self._parts.logs, deployment.id, limits.head_bytes, limits.tail_bytes)

    async def _take_in(self, deployment: Deployment, writer: Writer, news: News) -> Deployment:
        parts = self._parts
        if news.chunks:
            await writer.append(news.chunks, parts.clock.micros())
        if news.events:
            deployment = await self._write(
                deployment, lambda tx, current: lifecycle.advance(tx, current, news.events)
            )
        if news.chunks or news.events:
            parts.followers.changed(deployment.id)
        return deployment

    async def _take_rest(self, deployment: Deployment, writer: Writer, run: Run) -> None:
        while (news := await run.news(deployment.spool_seq, writer.next_seq)).chunks or news.events:
            deployment = await self._take_in(deployment, writer, news)

    async def _bury(self, deployment: Deployment, remains: Remains, elsewhere: Place | None = None) -> None:
        """End the row of a run whose runner is gone: as its end says, back to the queue, or interrupted.

        Where it was begun `elsewhere`, an empty folder does not prove that no step ran.
        """
        deployment = await self._write(
            deployment, lambda tx, current: lifecycle.advance(tx, current, remains.events)
        )
        if remains.end is not None:
            await self._conclude(deployment, ending_of(remains.end))
            return
        starts = self._starts[deployment.id] = self._starts.get(deployment.id, 0) + 1
        if elsewhere is not None and not remains.began:
            await self._conclude(deployment, _out_of_reach(elsewhere))
        elif not remains.began and deployment.cancel_requested_at is not None:
            await self._conclude(deployment, Ending("cancelled", Reason.CANCELLED, "it was cancelled"))
        elif not remains.began and starts < self._parts.settings.runner.starts:
            await self._write(deployment, lifecycle.requeue)
        else:
            await self._conclude(deployment, _interrupted(deployment, remains))
            await self._runners.discard_work(deployment.id)

    async def _conclude(self, deployment: Deployment, ending: Ending) -> None:
        parts = self._parts
        rollback_id = parts.ids.new()
        ended = await self._write(
            deployment,
            lambda tx, current: endings.conclude(tx, current, ending, parts.clock.micros(), rollback_id),
        )
        self._starts.pop(ended.id, None)
        tracing.note("dg.status", ended.status)

    async def _write(
        self, deployment: Deployment, work: Callable[[Tx, Deployment], Deployment]
    ) -> Deployment:
        """Run `work(tx, deployment as it stands)`, fenced by the epoch under which this server follows it."""

        def fenced(tx: Tx) -> Deployment:
            current = store.require(tx, deployment.id)
            if current.epoch != deployment.epoch or current.status not in ACTIVE:
                raise Lost
            return work(tx, current)

        return await self._parts.db.write(fenced)


def _traced(deployment: Deployment, *, fresh: bool) -> dict[str, tracing.Value]:
    """What the span of a run says of it. One that outlives a server has a span under each that follows it."""
    return {
        "dg.deployment": deployment.id,
        "dg.service": deployment.service,
        "deployment.environment.name": deployment.environment,
        "dg.kind": deployment.kind,
        "dg.taken_over": not fresh,
    }


def _trace() -> dict[str, str]:
    """The variable by which a step's own spans come below those of its run."""
    parent = tracing.traceparent()
    return {"TRACEPARENT": parent} if parent else {}


def _candidates(
    tx: Tx, now: int, *, rollbacks_only: bool = False
) -> tuple[list[tuple[str, str]], int | None]:
    """Lanes where somebody may start, and when the next one becomes due by itself (microseconds)."""
    ready, due = [], []
    for service, environment in store.waiting_lanes(tx):
        facts = lifecycle.facts(tx, service, environment, now)
        chosen = lanes.next_up(facts)
        if chosen and (chosen.kind is Kind.ROLLBACK or not rollbacks_only):
            ready.append((service, environment))
        due += lanes.moments(facts)
    return ready, min(due, default=None)


def inputs_of(deployment: Deployment) -> pipeline.Inputs:
    """What a deployment brings to its pipeline."""
    return pipeline.Inputs(
        id=deployment.id,
        kind=deployment.kind,
        environment=deployment.environment,
        version=deployment.version,
        sha=deployment.commit_sha,
    )


def ending_of(end: Mapping[str, Any]) -> Ending:
    """The runner's last word as the rules understand it."""
    reason = end["reason"]
    if reason in ("checkout_failed", "secret_failed"):
        reason = "step_failed"
    return Ending(
        outcome=end["outcome"],
        reason=Reason(reason) if reason else None,
        message=end["detail"],
        touched=end["touched"],
        outputs=end["outputs"],
        at=end["t"],
        log=log_of(end),
    )


def _out_of_reach(place: Place) -> Ending:
    """Of a run whose folder is on a machine that does not serve any more: its steps may go on there."""
    sentence = (
        f"it ran on {place}, and another server took over: what it did there, or still does, is not known"
    )
    return Ending("failed", Reason.INTERRUPTED, sentence, touched=True, place=str(place))


def _interrupted(deployment: Deployment, remains: Remains) -> Ending:
    step = "" if deployment.stage in ("starting", "finished") else f" in `{deployment.stage}`"
    left = f"; {remains.processes_left} of its processes could not be ended" if remains.processes_left else ""
    began = remains.began
    touched = deployment.touched or remains.processes_left > 0 or (began and deployment.kind is Kind.ROLLBACK)
    return Ending(
        "failed", Reason.INTERRUPTED, f"its runner died{step}; what it had done stays as it is{left}", touched
    )
