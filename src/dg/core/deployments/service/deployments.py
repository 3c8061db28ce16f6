"""Deployments as callers see them: create, look, change, cancel, roll back."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Sequence

from dg.core.access import keyform
from dg.core.access.models import Action, Principal
from dg.core.database import Tx
from dg.core.deployments import filters as fields
from dg.core.deployments import (
    lanes,
    lifecycle,
    logs,
    progress,
    receipt,
    receipts,
    rollbacks,
    store,
)
from dg.core.deployments.dispatcher import Dispatcher
from dg.core.deployments.gates import keeper
from dg.core.deployments.models import (
    ACTIVE,
    FINAL,
    Changes,
    CreateDeployment,
    Deployment,
    Diff,
    Kind,
    LogPage,
    Page,
    Progress,
    Reason,
    RequestRollback,
    Status,
    Step,
    UpdateDeployment,
)
from dg.core.deployments.parts import Parts
from dg.core.deployments.previews import Preview, RollbackPreview
from dg.core.deployments.service import acting, creation, finding, previews
from dg.core.errors import Invalid, NotFound, Refused
from dg.core.filters import condition, parse
from dg.core.idempotency import Once, once, seen
from dg.core.remember import Remembered
from dg.core.types import Environment

_MOST_COMMITS = 200
_MOST_FILES = 300
_LONGEST_PATCH = 256 * 1024
"""Bytes of a patch; more of it is to be had file by file."""
_KNOWN = 500
"""Deployments of which the last look is remembered."""


class Deployments:
    """The actions on deployments. Errors are those of `dg.core.errors`."""

    def __init__(self, parts: Parts, dispatcher: Dispatcher) -> None:
        self._parts = parts
        self._dispatcher = dispatcher
        self._steps: Remembered[tuple[Step, ...]] = Remembered(_KNOWN)
        self._ended: Remembered[Progress] = Remembered(_KNOWN)

    # --- create ----------------------------------------------------------------------------------

    async def create(
        self, principal: Principal, request: CreateDeployment, once: Once | None = None
    ) -> Deployment:
        """Ask for a deployment. It is durable when this returns and starts as soon as its lane is free.

        Raises Invalid (unknown ref, bad version), Refused (`lane_closed`, `version_blocked`,
        `ref_not_protected`, `queue_closed`, missing secrets, and `outdated_base` with what would come now),
        Forbidden, Mismatch, Unavailable.
        """
        parts = self._parts
        parts.access.require_somewhere(principal, Action.DEPLOYMENT_CREATE)
        service = await finding.service(parts, principal, request.service)
        parts.access.require(principal, Action.DEPLOYMENT_CREATE, request.environment, service)
        if (answer := await parts.db.glance(lambda tx: seen(tx, principal, once, Deployment))) is not None:
            return answer
        wish = await creation.resolve(parts, principal, service, request)
        for objection in await creation.objections(parts, wish):
            raise objection
        await parts.git.keep(service, wish.deployment.commit_sha)

        try:
            created = await parts.db.write(lambda tx: self._create(tx, principal, wish, once))
        except Refused as refused:
            raise await finding.with_changes(parts, service, refused) from None
        self._dispatcher.wake()
        return created

    def _create(self, tx: Tx, principal: Principal, wish: creation.Wish, key: Once | None) -> Deployment:
        now = self._parts.clock.micros()

        def effect(tx: Tx) -> Deployment:
            lane = lifecycle.facts(tx, *wish.deployment.lane, now, queue=creation.refuses_queue(wish))
            for refusal in creation.refusals(tx, wish, lane):
                raise refusal
            store.keep_snapshot(tx, wish.deployment.pipeline_sha256, wish.text)
            kind = lifecycle.kind_of(wish.deployment, lane.current)
            # Here, not when git was asked: so the queue's order is the order of the commits and the numbers.
            base = lane.current.commit_sha if lane.current else None
            queued = {"kind": kind, "base_sha": base, "created_at": now, "queued_at": now}
            created = lifecycle.create(tx, wish.deployment.model_copy(update=queued), principal)
            if created.guard and created.guard.queue == "latest":
                lifecycle.supersede(tx, lifecycle.facts(tx, *created.lane, now))
            return created

        return once(tx, principal, key, Deployment, self._parts.clock, effect)

    # --- look ------------------------------------------------------------------------------------

    async def get(self, principal: Principal, id: str) -> Deployment:  # noqa: A002 - the public word
        """One deployment, with what it waits for and what people decided. Raises NotFound."""
        return await finding.deployment(self._parts, principal, id)

    async def list(
        self,
        principal: Principal,
        *,
        filter: str | None = None,  # noqa: A002 - the public word
        service: str | None = None,
        environment: str | None = None,
        status: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[Deployment]:
        """Deployments, newest first. Raises Invalid for a bad filter or cursor."""
        self._parts.access.require_somewhere(principal, Action.DEPLOYMENT_READ)
        now = self._parts.clock.micros()
        conditions = [
            condition(parse(filter or ""), fields.FIELDS, now),
            *fields.exactly(service=service, environment=environment, status=status),
            fields.readable(principal),
        ]
        before, limit = finding.cursor(cursor), finding.limit(limit)

        def work(tx: Tx) -> Page[Deployment]:
            found = store.page(tx, conditions, before, limit + 1)
            items = self._with_holds(tx, found[:limit], gates=True)
            more = str(items[-1].number) if len(found) > limit else None
            return Page(items=items, next_cursor=more)

        return await self._parts.db.read(work)

    async def status(self, principal: Principal, id: str) -> Progress:  # noqa: A002
        """Status, progress, steps, the newest lines and when it will be done: what is asked most often."""
        parts = self._parts
        seen = await store.glimpse(parts.db, id)
        if seen and principal.may(Action.DEPLOYMENT_READ, seen.environment, seen.service):
            # What was said before of one that ended, where it is still so and the caller may see it.
            known = self._ended.known((id, seen.revision, seen.created_by_name))
            if known is not None:
                return known
        now = parts.clock.micros()

        def look(tx: Tx, deployment: Deployment) -> Progress:
            # They change with their deployment's revision only.
            steps = self._steps.get((id, deployment.revision), lambda: store.steps(tx, id))
            return Progress(
                deployment=self._with_holds(tx, [deployment])[0],
                progress=progress.percent(deployment, steps, now),
                steps=steps,
                logs=logs.tail(tx, id, parts.settings.deployments.status_log_lines),
                estimated_completion=progress.estimate(deployment, steps, now),
            )

        def work(tx: Tx, deployment: Deployment) -> Progress:
            if deployment.status not in FINAL:
                return look(tx, deployment)
            # Nothing of one that ended changes but with its revision and with what people call its maker.
            key = (id, deployment.revision, deployment.created_by_name)
            return self._ended.get(key, lambda: look(tx, deployment))

        return await finding.read(self._parts, principal, id, work, few=True)

    async def steps(self, principal: Principal, id: str) -> tuple[Step, ...]:  # noqa: A002
        """The steps of a deployment's run, in order; none before it started."""
        return await finding.read(self._parts, principal, id, lambda tx, _: store.steps(tx, id))

    async def logs(
        self,
        principal: Principal,
        id: str,  # noqa: A002
        *,
        after: int = 0,
        limit: int = 1000,
    ) -> LogPage:
        """Lines numbered `after` or more."""
        limit = finding.limit(limit)

        def work(tx: Tx, deployment: Deployment) -> LogPage:
            return logs.page(tx, id, max(0, after), limit, complete=deployment.status in FINAL)

        return await finding.read(self._parts, principal, id, work)

    async def wait_for_logs(self, id: str, after: int, timeout: float) -> None:  # noqa: A002
        """Return when there is a line numbered `after` or more, when it ended, or after `timeout` seconds."""
        # Not wait_for: before Python 3.12 it swallows a cancellation that meets the end of the wait.
        with self._parts.followers.follow(id) as change, contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not await self._parts.db.read(lambda tx: _has_more(tx, id, after)):
                    await change.wait()
                    change.clear()

    async def changes(self, principal: Principal, id: str) -> Changes:  # noqa: A002
        """The commits between what runs (or ran, before it) in the lane and what it brings."""
        deployment, base = await finding.read(self._parts, principal, id, self._with_base)
        return await self._parts.git.commits(deployment.service, base, deployment.commit_sha, _MOST_COMMITS)

    async def diff(self, principal: Principal, id: str, file: str | None = None) -> Diff:  # noqa: A002
        """What lies between the same two in the files, or in one of them.

        It shows source code, which not everybody who may see deployments may: Raises Forbidden, NotFound,
        and Invalid for a path that leaves the repository.
        """
        deployment, base = await finding.read(self._parts, principal, id, self._with_base)
        self._parts.access.require(principal, Action.DEPLOYMENT_DIFF, *finding.scope(deployment))
        found = await self._parts.git.diff(
            deployment.service,
            base,
            deployment.commit_sha,
            file=file,
            limit=_MOST_FILES,
            cap=_LONGEST_PATCH,
        )
        # A key of dg's is no more to be read here than in what a step prints.
        return found.model_copy(update={"patch": keyform.hidden(found.patch)})

    def _with_base(self, tx: Tx, deployment: Deployment) -> tuple[Deployment, str | None]:
        """The deployment, and the commit that runs in its lane, or ran there before it."""
        if deployment.status is not Status.PENDING:
            return deployment, deployment.base_sha
        current = lifecycle.facts(tx, *deployment.lane, self._parts.clock.micros()).current
        return deployment, current.commit_sha if current else None

    async def receipt(self, principal: Principal, id: str) -> bytes:  # noqa: A002
        """The signed receipt of a deployment that has ended, the same bytes each time (see `receipt.verify`).

        Raises Refused (`not_ended`) while it lives, NotFound when it ended before receipts were kept.
        """
        deployment, body = await finding.read(
            self._parts, principal, id, lambda tx, deployment: (deployment, receipts.find(tx, id))
        )
        if deployment.status not in FINAL:
            raise Refused(
                f"deployment {id} is {deployment.status}; it has a receipt when it has ended",
                reason="not_ended",
            )
        if body is None:
            raise NotFound(f"deployment {id} ended before this server kept receipts", reason="no_receipt")
        return receipt.sign(body, self._parts.receipt_key)

    async def receipt_key(self, principal: Principal) -> str:
        """The public key, PEM, with which the receipts of this server verify wherever they are read."""
        self._parts.access.require_somewhere(principal, Action.DEPLOYMENT_READ)
        return receipt.public_pem(self._parts.receipt_key.public_key())

    # --- change ----------------------------------------------------------------------------------

    async def update(
        self,
        principal: Principal,
        id: str,  # noqa: A002
        request: UpdateDeployment,
        once: Once | None = None,
    ) -> Deployment:
        """Change a pending deployment; fields not set stay. Raises Refused when it is not pending."""
        now = self._parts.clock.micros()
        changes = request.model_dump(exclude_unset=True)
        for name in ("not_before", "expires_at"):
            creation.moment(changes.get(name), name, now)
        if not changes:
            raise Invalid("nothing to change: send not_before, expires_at or note")

        def effect(tx: Tx, deployment: Deployment) -> Deployment:
            if deployment.status is not Status.PENDING:
                raise Refused(
                    f"deployment {id} is {deployment.status}; only a pending one can be changed",
                    reason="not_pending",
                )
            begins = changes.get("not_before", deployment.not_before)
            if "expires_at" not in changes and begins is not None:
                # It was given its time to wait from another beginning.
                changes["expires_at"] = max(
                    deployment.expires_at or 0, creation.patience(self._parts, begins)
                )
            creation.check_order(begins, changes.get("expires_at", deployment.expires_at))
            changed = store.change(tx, deployment, **changes)
            keeper.void(tx, changed, "the deployment was changed", now)
            tx.append(lifecycle.updated(changed, sorted(request.model_fields_set)), by=principal)
            return changed

        return await acting.act(
            self._parts, self._dispatcher, principal, id, Action.DEPLOYMENT_UPDATE, once, effect
        )

    async def cancel(
        self,
        principal: Principal,
        id: str,  # noqa: A002
        *,
        then_rollback: bool = False,
        reason: str | None = None,
        once: Once | None = None,
    ) -> Deployment:
        """Stop a deployment; with `then_rollback` its lane passes to a rollback in the same transaction.

        A pending one ends at once, a running one when nothing of it is left. Raises Refused when it ended.
        """
        if then_rollback:
            deployment = await self.get(principal, id)
            self._parts.access.require(principal, Action.DEPLOYMENT_ROLLBACK, *finding.scope(deployment))

        def effect(tx: Tx, deployment: Deployment) -> Deployment:
            now = self._parts.clock.micros()
            if then_rollback and deployment.kind is Kind.ROLLBACK:
                raise Refused(
                    f"deployment {id} is a rollback itself, and those never cascade; cancel it alone",
                    reason="is_rollback",
                )
            if deployment.status is Status.PENDING:
                why = lifecycle.cancelled_sentence(reason)
                return lifecycle.fail_pending(tx, deployment, Reason.CANCELLED, why, now, principal)
            if deployment.status not in ACTIVE:
                raise Refused(f"deployment {id} has ended as {deployment.status}", reason="ended")
            return lifecycle.request_cancel(
                tx, deployment, now, principal, then_rollback=then_rollback, reason=reason
            )

        changed = await acting.act(
            self._parts, self._dispatcher, principal, id, Action.DEPLOYMENT_CANCEL, once, effect
        )
        if changed.status in ACTIVE:
            await self._dispatcher.cancel(id)
        return changed

    async def preview(self, principal: Principal, request: CreateDeployment) -> Preview:
        """What `create` would make of this request, and with which sentences it would be refused.

        Only git is fetched. Raises Invalid for a request that is wrong in itself, NotFound, Unavailable.
        """
        self._parts.access.require_somewhere(principal, Action.DEPLOYMENT_READ)
        return await previews.preview(self._parts, principal, request)

    async def preview_rollback(
        self, principal: Principal, service: str, environment: Environment, request: RequestRollback
    ) -> RollbackPreview:
        """What `rollback_lane` would make of this request; nothing is written and no remote is asked.

        Raises NotFound.
        """
        self._parts.access.require_somewhere(principal, Action.DEPLOYMENT_READ)
        return await previews.preview_rollback(self._parts, principal, service, environment, request)

    async def rollback(
        self,
        principal: Principal,
        id: str,  # noqa: A002
        request: RequestRollback,
        once: Once | None = None,
    ) -> Deployment:
        """Roll back the lane of a deployment, which must be what runs there or what failed there last."""
        deployment = await self.get(principal, id)
        return await self._roll_back(principal, deployment.lane, request, once, bad_id=id)

    async def rollback_lane(
        self,
        principal: Principal,
        service: str | None,
        environment: Environment,
        request: RequestRollback,
        once: Once | None = None,
    ) -> Deployment:
        """Put the newest good version of a lane back, or the deployment that `request.target` names.

        Raises Refused: nothing to go back to (`no_target`), the lane is busy, closed by hand without an
        override (`lane_closed`), or an irreversible step would be crossed (`irreversible`).
        """
        self._parts.access.require_somewhere(principal, Action.DEPLOYMENT_ROLLBACK)
        name = await finding.service(self._parts, principal, service)
        return await self._roll_back(principal, (name, environment.value), request, once)

    async def _roll_back(
        self,
        principal: Principal,
        lane: tuple[str, str],
        request: RequestRollback,
        key: Once | None,
        bad_id: str | None = None,
    ) -> Deployment:
        parts = self._parts
        service, environment = lane
        parts.access.require(principal, Action.DEPLOYMENT_ROLLBACK, environment, service)
        new_id = parts.ids.new()

        def effect(tx: Tx) -> Deployment:
            now = parts.clock.micros()
            facts = lifecycle.facts(tx, service, environment, now)
            if (waits := rollbacks.passing(facts, request)) and request.override:
                return lifecycle.override(tx, waits, request.override, principal)
            wish = rollbacks.wish(tx, facts, request, bad_id)
            rollback = rollbacks.plan(
                wish.bad, wish.target, new_id, now, principal, note=request.reason, override=request.override
            )
            return lifecycle.create(tx, rollback, principal)

        created = await parts.db.write(lambda tx: once(tx, principal, key, Deployment, parts.clock, effect))
        self._dispatcher.wake()
        return created

    # --- shared ----------------------------------------------------------------------------------

    def _with_holds(
        self, tx: Tx, found: Sequence[Deployment], *, gates: bool = False
    ) -> tuple[Deployment, ...]:
        """The same deployments with what the pending ones wait for, each lane looked at once."""
        if not any(deployment.status is Status.PENDING for deployment in found):
            return tuple(found)
        now = self._parts.clock.micros()

        @functools.cache
        def facts(service: str, environment: str) -> lanes.Facts:
            return lifecycle.facts(tx, service, environment, now)

        def with_hold(deployment: Deployment) -> Deployment:
            if deployment.status is not Status.PENDING:
                return deployment
            lane = facts(*deployment.lane)
            held: dict[str, object] = {"hold": lanes.hold(lane, deployment)}
            if gates and deployment.guard:
                held["gates"] = tuple(lane.gates[deployment.id])
            return deployment.model_copy(update=held)

        return tuple(map(with_hold, found))


def _has_more(tx: Tx, deployment_id: str, after: int) -> bool:
    deployment = store.find(tx, deployment_id)
    if deployment is None or deployment.status in FINAL:
        return True
    return bool(logs.page(tx, deployment_id, after, 1, complete=False).items)
