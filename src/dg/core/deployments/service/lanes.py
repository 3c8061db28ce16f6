"""Lanes as callers see them: look, lock, unlock, freeze, thaw, block and unblock a version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from pydantic import BaseModel

from dg.core import events
from dg.core.access.models import Action, Principal
from dg.core.clock import SECOND, to_datetime
from dg.core.database import Tx
from dg.core.deployments import lanes as rules
from dg.core.deployments import lifecycle, pipeline, quarantine, store
from dg.core.deployments.dispatcher import Dispatcher
from dg.core.deployments.models import (
    Block,
    BlockVersion,
    Freeze,
    Lane,
    Lock,
    LockLane,
    SetFreeze,
    Waiting,
)
from dg.core.deployments.parts import Parts
from dg.core.deployments.service import finding
from dg.core.errors import Invalid, NotFound, Refused
from dg.core.idempotency import Once, once
from dg.core.text import plain
from dg.core.types import Environment

M = TypeVar("M", bound=BaseModel)


class Thawed(BaseModel):
    """The freezes that one request ended."""

    freezes: tuple[Freeze, ...]


class Lanes:
    """The actions on lanes. Errors are those of `dg.core.errors`."""

    def __init__(self, parts: Parts, dispatcher: Dispatcher) -> None:
        self._parts = parts
        self._dispatcher = dispatcher

    async def list(
        self, principal: Principal, *, service: str | None = None, environment: str | None = None
    ) -> tuple[Lane, ...]:
        """The lanes of every registered service, used or not, that the caller may see."""
        self._parts.access.require_somewhere(principal, Action.LANE_READ)
        now = self._parts.clock.micros()

        def work(tx: Tx) -> tuple[Lane, ...]:
            services = [found.service for found in store.newest_pipelines(tx)]
            return tuple(
                _lane(lifecycle.facts(tx, name, tier.value, now))
                for name in services
                for tier in Environment
                if service in (None, name)
                and environment in (None, tier.value)
                and principal.may(Action.LANE_READ, tier.value, name)
            )

        return await self._parts.db.read(work)

    async def get(self, principal: Principal, service: str, environment: str) -> Lane:
        """One lane. Raises NotFound."""
        await self._check(principal, Action.LANE_READ, service, environment)
        now = self._parts.clock.micros()
        return await self._parts.db.read(lambda tx: _lane(lifecycle.facts(tx, service, environment, now)))

    async def queue(self, principal: Principal, service: str, environment: str) -> tuple[Waiting, ...]:
        """The first 100 that wait for a lane, the next one first, and when each would start by experience."""
        await self._check(principal, Action.LANE_READ, service, environment)
        now = self._parts.clock.micros()

        def work(tx: Tx) -> tuple[Waiting, ...]:
            facts = lifecycle.facts(tx, service, environment, now)
            starts = lifecycle.starts(tx, facts, self._parts.settings.deployments.eta_samples)
            return tuple(
                Waiting(
                    position=position,
                    deployment=deployment.model_copy(update={"hold": rules.hold(facts, deployment)}),
                    estimated_start=starts.get(deployment.id),
                )
                for position, deployment in enumerate(rules.in_order(facts.queue)[: rules.MOST_WAITING], 1)
            )

        return await self._parts.db.read(work)

    async def lock(
        self,
        principal: Principal,
        service: str,
        environment: str,
        request: LockLane,
        once: Once | None = None,
    ) -> Lane:
        """Close a lane until `request.until`. What runs goes on. Raises Refused when it is locked by hand."""
        await self._check(principal, Action.LANE_LOCK, service, environment)
        now = self._parts.clock.micros()
        self._check_until(request.until, now, self._parts.settings.lanes.lock_max, "lanes.lock_max")

        def effect(tx: Tx) -> Lane:
            found = store.lock_of(store.lane(tx, service, environment))
            if found and found.until > now and not found.automatic:
                facts = replace(lifecycle.facts(tx, service, environment, now), freezes=())
                raise Refused(rules.explain(facts), reason="lane_locked")
            lock = Lock(
                reason=request.reason, automatic=False, by=principal.name, since=now, until=request.until
            )
            store.set_lock(tx, service, environment, lock)
            fact = events.LaneLocked(
                service=service,
                environment=environment,
                reason=request.reason,
                automatic=False,
                until=request.until,
            )
            tx.append(fact, by=principal)
            return _lane(lifecycle.facts(tx, service, environment, now))

        return await self._write(principal, once, Lane, effect)

    async def unlock(
        self,
        principal: Principal,
        service: str,
        environment: str,
        reason: str | None = None,
        once: Once | None = None,
    ) -> Lane:
        """Open a lane; one that is open stays so."""
        await self._check(principal, Action.LANE_UNLOCK, service, environment)
        now = self._parts.clock.micros()

        def effect(tx: Tx) -> Lane:
            if store.lock_of(store.lane(tx, service, environment)):
                store.set_lock(tx, service, environment, None)
                fact = events.LaneUnlocked(service=service, environment=environment, reason=reason)
                tx.append(fact, by=principal)
            return _lane(lifecycle.facts(tx, service, environment, now))

        return await self._write(principal, once, Lane, effect)

    async def blocks(self, principal: Principal, service: str, environment: str) -> tuple[Block, ...]:
        """What may not come to a lane, the newest block first."""
        await self._check(principal, Action.LANE_READ, service, environment)
        return await self._parts.db.read(lambda tx: store.blocks(tx, service, environment))

    async def block(
        self,
        principal: Principal,
        service: str,
        environment: str,
        request: BlockVersion,
        once: Once | None = None,
    ) -> Block:
        """Keep a version out of a lane; what waits with it fails when its turn comes, what runs goes on.

        Raises Invalid for a version that nobody knows, Refused when it is blocked already.
        """
        await self._check(principal, Action.LANE_BLOCK, service, environment)
        commit, version = await self._commit(principal, service, request.version)
        block = Block(
            service=service,
            environment=Environment(environment),
            commit_sha=commit,
            version=version,
            reason=request.reason,
            at=self._parts.clock.micros(),
        )

        def effect(tx: Tx) -> Block:
            if found := store.block(tx, service, environment, commit):
                raise Refused(rules.blocked(found), reason="version_blocked")
            quarantine.keep_out(tx, block, principal)
            return block

        return await self._write(principal, once, Block, effect)

    async def _commit(self, principal: Principal, service: str, version: str) -> tuple[str, str]:
        """The commit that a version means, and its name: a label that the caller saw deployed, else git's."""
        seen = [tier for tier in Environment if principal.may(Action.DEPLOYMENT_READ, tier.value, service)]
        known = await self._parts.db.read(lambda tx: store.find_version(tx, service, version, seen))
        if known is not None:
            return known.commit_sha, known.version
        registered = await finding.pipeline(self._parts, principal, service)
        source = pipeline.parse(registered.text).source
        commit = (await self._parts.git.resolve(service, source.git, version)).commit
        return commit, commit[:12] if commit.startswith(version.lower()) else version

    async def unblock(
        self,
        principal: Principal,
        service: str,
        environment: str,
        commit: str,
        reason: str,
        once: Once | None = None,
    ) -> Block:
        """Let a version back; `commit` is 7 to 40 of its digits. Returns the block that ended.

        Raises NotFound when no such commit is blocked there, Invalid when several begin so.
        """
        await self._check(principal, Action.LANE_UNBLOCK, service, environment)

        def effect(tx: Tx) -> Block:
            blocks = store.blocks(tx, service, environment)
            found = [block for block in blocks if block.commit_sha.startswith(commit)]
            if len(found) > 1:
                raise Invalid(f"commit: {len(found)} blocked commits begin with {commit}; send more digits")
            if not found:
                raise NotFound(
                    f"{plain(commit, limit=40)} is not blocked in {service}/{environment}; "
                    f"what is: dg lane blocks {service} {environment}"
                )
            quarantine.let_back(tx, found[0], reason, principal)
            return found[0]

        return await self._write(principal, once, Block, effect)

    async def freezes(self, principal: Principal) -> tuple[Freeze, ...]:
        """The freezes in force that touch what the caller may see."""
        self._parts.access.require_somewhere(principal, Action.LANE_READ)
        now = self._parts.clock.micros()
        found = await self._parts.db.read(store.freezes)
        return tuple(freeze for freeze in found if freeze.until > now and _touches(principal, freeze))

    async def freeze(self, principal: Principal, request: SetFreeze, once: Once | None = None) -> Freeze:
        """Freeze lanes until `request.until`: new deployments are refused, waiting ones wait."""
        service, environment = request.service, request.environment
        if service is not None:
            await finding.service(self._parts, principal, service)
        self._parts.access.require(principal, Action.LANE_FREEZE, environment, service)
        now = self._parts.clock.micros()
        self._check_until(request.until, now, self._parts.settings.lanes.freeze_max, "lanes.freeze_max")
        freeze = Freeze(
            id=self._parts.ids.new(), by=principal.name, since=now, **request.model_dump(mode="python")
        )

        def effect(tx: Tx) -> Freeze:
            store.insert_freeze(tx, freeze)
            fact = events.FreezeSet(
                freeze=freeze.id,
                reason=freeze.reason,
                until=freeze.until,
                service=service,
                environment=environment.value if environment else None,
            )
            tx.append(fact, by=principal)
            return freeze

        return await self._write(principal, once, Freeze, effect)

    async def thaw(
        self,
        principal: Principal,
        id: str | None = None,  # noqa: A002 - the public word
        once: Once | None = None,
    ) -> tuple[Freeze, ...]:
        """End one freeze, or without an id all that the caller may end; returns those that ended."""
        self._parts.access.require_somewhere(principal, Action.LANE_THAW)
        found = [freeze for freeze in await self._parts.db.read(store.freezes) if freeze.id == id]
        for freeze in found:
            if not _touches(principal, freeze):
                missing = _no_freeze(freeze.id)
                where = (freeze.environment, freeze.service)
                self._parts.access.require_visible(principal, Action.LANE_READ, *where, missing)
            self._parts.access.require(principal, Action.LANE_THAW, freeze.environment, freeze.service)

        def effect(tx: Tx) -> Thawed:
            lifted = [
                freeze
                for freeze in store.freezes(tx)
                if id in (None, freeze.id)
                and principal.may(Action.LANE_THAW, freeze.environment, freeze.service)
            ]
            if id is not None and not lifted:
                raise _no_freeze(id)
            for freeze in lifted:
                store.delete_freeze(tx, freeze.id)
                tx.append(_lifted(freeze), by=principal)
            return Thawed(freezes=tuple(lifted))

        return (await self._write(principal, once, Thawed, effect)).freezes

    async def _write(
        self, principal: Principal, key: Once | None, model: type[M], effect: Callable[[Tx], M]
    ) -> M:
        clock = self._parts.clock
        changed = await self._parts.db.write(lambda tx: once(tx, principal, key, model, clock, effect))
        self._dispatcher.wake()
        return changed

    async def _check(self, principal: Principal, action: Action, service: str, environment: str) -> None:
        finding.environment(environment)
        await finding.service(self._parts, principal, service)
        missing = NotFound(f"there is no lane {service}/{environment} that you may see")
        self._parts.access.require_visible(principal, Action.LANE_READ, environment, service, missing)
        self._parts.access.require(principal, action, environment, service)

    def _check_until(self, until: int, now: int, longest: float, setting: str) -> None:
        if until <= now:
            raise Invalid(
                "until: is not in the future", errors=[{"field": "until", "message": "must be in the future"}]
            )
        if until - now > longest * SECOND:
            latest = to_datetime(now + int(longest * SECOND))
            raise Invalid(
                f"until: must be {latest:%Y-%m-%d %H:%M} UTC or earlier ({setting})",
                errors=[{"field": "until", "message": f"is further away than {setting} allows"}],
            )


def _lane(facts: rules.Facts) -> Lane:
    current = facts.current
    return Lane(
        service=facts.service,
        environment=Environment(facts.environment),
        state=rules.state(facts),
        sentence=rules.explain(facts),
        holder=facts.holder.id if facts.holder else None,
        current=current.id if current else None,
        current_version=current.version if current else None,
        current_sha=current.commit_sha if current else None,
        known=facts.known,
        lock=facts.active_lock,
        freeze=facts.active_freeze,
        queue=tuple(deployment.id for deployment in facts.queue),
    )


def _touches(principal: Principal, freeze: Freeze) -> bool:
    """True when the freeze closes a lane that the caller may see."""
    tiers = [freeze.environment] if freeze.environment else list(Environment)
    services = [freeze.service] if freeze.service else [grant.service for grant in principal.grants]
    return any(principal.may(Action.LANE_READ, tier.value, service) for tier in tiers for service in services)


def _no_freeze(freeze_id: str) -> NotFound:
    return NotFound(f"there is no freeze {plain(freeze_id, limit=64)}; it may have ended by itself")


def _lifted(freeze: Freeze) -> events.FreezeLifted:
    environment = freeze.environment.value if freeze.environment else None
    return events.FreezeLifted(freeze=freeze.id, service=freeze.service, environment=environment)
