"""What people do about a deployment that failed."""

from __future__ import annotations

from dg.core.access.models import Action, Principal
from dg.core.database import Tx
from dg.core.deployments import lifecycle, pipeline, retries, store
from dg.core.deployments.dispatcher import Dispatcher
from dg.core.deployments.gates import keeper
from dg.core.deployments.models import Deployment, RequestRetry
from dg.core.deployments.parts import Parts
from dg.core.deployments.service import creation, finding
from dg.core.deployments.service.deployments import Deployments
from dg.core.idempotency import Once, once, seen


class Recovery:
    """The actions on deployments that went wrong. Errors are those of `dg.core.errors`."""

    def __init__(self, parts: Parts, dispatcher: Dispatcher, deployments: Deployments) -> None:
        self._parts = parts
        self._dispatcher = dispatcher
        self._deployments = deployments

    async def retry(
        self,
        principal: Principal,
        id: str,  # noqa: A002 - the public word
        request: RequestRetry,
        once: Once | None = None,
    ) -> Deployment:
        """Take a failed deployment up again from one of its steps; the answer is a deployment of its own.

        Its commit, pipeline and outputs are those of the failed one. Raises what `retries.begin` does, and
        what a create does for the lane, a block, the branch and secrets.
        """
        parts = self._parts
        failed = await self._deployments.get(principal, id)
        parts.access.require(principal, Action.DEPLOYMENT_RETRY, failed.environment, failed.service)
        if (answer := await parts.db.glance(lambda tx: seen(tx, principal, once, Deployment))) is not None:
            return answer
        wish = await self._wish(principal, failed, request)
        for objection in await creation.objections(parts, wish):
            raise objection
        await parts.git.keep(failed.service, failed.commit_sha)
        created = await parts.db.write(lambda tx: self._create(tx, principal, failed, wish, request, once))
        self._dispatcher.wake()
        return created

    async def _wish(self, principal: Principal, failed: Deployment, request: RequestRetry) -> creation.Wish:
        parts, now = self._parts, self._parts.clock.micros()
        registered = await finding.pipeline(parts, principal, failed.service)

        def look(tx: Tx) -> tuple[pipeline.Step, str]:
            return retries.begin(tx, failed, request), store.snapshot(tx, failed.pipeline_sha256)

        first, text = await parts.db.read(look)
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

        return once(tx, principal, key, Deployment, self._parts.clock, effect)
