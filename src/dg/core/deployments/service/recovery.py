"""What people do about a deployment that failed or does not stop."""

from __future__ import annotations

from dg.core.access.models import Action, Principal
from dg.core.clock import SECOND
from dg.core.database import Tx
from dg.core.deployments import endings, lanes, lifecycle, pipeline, retries, store
from dg.core.deployments.dispatcher import Dispatcher
from dg.core.deployments.gates import keeper
from dg.core.deployments.gates.demands import Demands
from dg.core.deployments.models import ACTIVE, Deployment, RequestRetry
from dg.core.deployments.parts import Parts
from dg.core.deployments.service import acting, creation, finding
from dg.core.errors import Refused
from dg.core.idempotency import Once, seen
from dg.core.idempotency import once as idempotent


class Recovery:
    """The actions on deployments that went wrong. Errors are those of `dg.core.errors`."""

    def __init__(self, parts: Parts, dispatcher: Dispatcher) -> None:
        self._parts = parts
        self._dispatcher = dispatcher

    async def retry(
        self,
        principal: Principal,
        id: str,  # noqa: A002 - the public word
        request: RequestRetry,
        once: Once | None = None,
    ) -> Deployment:
        """Take a failed deployment up again from one of its steps; the answer is a deployment of its own.

        Its commit, pipeline and outputs are those of the failed one. Raises what `retries.begin` does,
        Refused (`demands_changed`), and what a create does for the lane, a block, the branch and secrets.
        """
        parts = self._parts
        failed = await finding.deployment(parts, principal, id)
        parts.access.require(principal, Action.DEPLOYMENT_RETRY, *finding.scope(failed))
        if (answer := await parts.db.glance(lambda tx: seen(tx, principal, once, Deployment))) is not None:
            return answer
        wish = await self._wish(principal, failed, request)
        for objection in await creation.objections(parts, wish):
            raise objection
        await parts.git.keep(failed.service, failed.commit_sha)
        created = await parts.db.write(lambda tx: self._create(tx, principal, failed, wish, request, once))
        self._dispatcher.wake()
        return created

    async def abandon(
        self,
        principal: Principal,
        id: str,  # noqa: A002 - the public word
        reason: str,
        once: Once | None = None,
    ) -> Deployment:
        """End a deployment that was asked to stop and does not; what it began may go on running.

        Raises Refused (`not_running`, `not_cancelling`, and `too_early` before `deployments.abandon_after`).
        """

        def effect(tx: Tx, deployment: Deployment) -> Deployment:
            now = self._parts.clock.micros()
            _check_stuck(deployment, now, self._parts.settings.deployments.abandon_after)
            return endings.abandon(tx, deployment, reason, now, principal)

        ended = await acting.act(
            self._parts, self._dispatcher, principal, id, Action.DEPLOYMENT_ABANDON, once, effect
        )
        self._dispatcher.abandon(ended)
        return ended

    async def _wish(self, principal: Principal, failed: Deployment, request: RequestRetry) -> creation.Wish:
        parts, now = self._parts, self._parts.clock.micros()
        registered = await finding.pipeline(parts, principal, failed.service)

        def look(tx: Tx) -> tuple[pipeline.Step, str]:
            return retries.begin(tx, failed, request), store.snapshot(tx, failed.pipeline_sha256)

        first, text = await parts.db.read(look)
        _check_demands(failed, text, await finding.text(parts, registered))
        retry = retries.plan(failed, first, parts.ids.new(), now, principal)
        decided = {
            "note": request.note,
            "expires_at": creation.patience(parts, now),
            "guard": keeper.guard_of(parts.protection, retry, text),
        }
        return creation.Wish(retry.model_copy(update=decided), text, pipeline.parse(registered.text).source)

    def _create(
        self,
        tx: Tx,
        principal: Principal,
        failed: Deployment,
        wish: creation.Wish,
        request: RequestRetry,
        key: Once | None,
    ) -> Deployment:
        now = self._parts.clock.micros()

        def effect(tx: Tx) -> Deployment:
            retries.begin(tx, store.require(tx, failed.id), request)
            lane = lifecycle.facts(tx, *failed.lane, now, queue=creation.refuses_queue(wish))
            for refusal in creation.refusals(tx, wish, lane):
                raise refusal
            queued = wish.deployment.model_copy(update={"created_at": now, "queued_at": now})
            created = lifecycle.create(tx, queued, principal)
            keeper.keep(tx, lane, failed, created)
            return lifecycle.view(tx, created, now)

        return idempotent(tx, principal, key, Deployment, self._parts.clock, effect)


def _check_demands(failed: Deployment, then: str, today: str) -> None:
    """A retry runs the pipeline of the failed one, and may not pass what was demanded since by that."""
    where = failed.environment
    demanded = pipeline.parse(today).demands(where)
    if demanded not in (Demands(), pipeline.parse(then).demands(where)):
        raise Refused(
            f"the pipeline demands something else of {where} than when #{failed.number} was made; "
            f"deploy it again: dg deploy {failed.service} {failed.commit_sha[:12]} --env {where}",
            reason="demands_changed",
        )


def _check_stuck(deployment: Deployment, now: int, patience: float) -> None:
    name, asked = f"#{deployment.number} ({deployment.version})", deployment.cancel_requested_at
    if deployment.status not in ACTIVE:
        raise Refused(
            f"{name} is {deployment.status}; only one that runs and does not stop is abandoned",
            reason="not_running",
        )
    if asked is None:
        raise Refused(f"nobody asked {name} to stop yet: dg cancel {deployment.id}", reason="not_cancelling")
    begins = asked + int(patience * SECOND)
    if now < begins:
        raise Refused(
            f"{name} was asked to stop at {lanes.spoken_time(asked, now)} and has until "
            f"{lanes.spoken_time(begins, now)}; it may be abandoned from then on",
            reason="too_early",
        )
