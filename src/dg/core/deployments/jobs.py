"""What happens to deployments by itself: what is due starts, what ran out ends, what is old is removed."""

from __future__ import annotations

import logging
from functools import partial

from dg.core import events, idempotency, origins
from dg.core.access.models import SYSTEM
from dg.core.clock import SECOND
from dg.core.database import Tx
from dg.core.deployments import lifecycle, logs, store
from dg.core.deployments.dispatcher import Dispatcher
from dg.core.deployments.models import Status
from dg.core.deployments.notices import store as notices
from dg.core.deployments.parts import Parts, Runners
from dg.core.deployments.quota import LogQuota
from dg.core.jobs import Every, Job, prune_ticks

log = logging.getLogger(__name__)

_LOOK = 10.0
_MINUTE = 60.0
_AT_A_TIME = 200


def jobs(parts: Parts, dispatcher: Dispatcher, runners: Runners, quota: LogQuota) -> tuple[Job, ...]:
    """The domain's jobs, for `core/app.py`."""

    async def start_due() -> None:
        dispatcher.wake()

    async def end_what_ran_out() -> None:
        now = parts.clock.micros()
        if await parts.db.read(lambda tx: bool(_ran_out(tx, now))):
            await parts.db.write(lambda tx: _end(tx, now))
            dispatcher.wake()

    async def remove_old() -> None:
        await _Retention(parts, runners).run()

    return (
        Job("deployments.start_due", Every(_LOOK), start_due),
        Job("deployments.end_what_ran_out", Every(_LOOK), end_what_ran_out),
        Job("deployments.keep_log_quota", Every(_MINUTE), quota.keep),
        Job("deployments.remove_old", Every(parts.settings.retention.interval), remove_old),
    )


def _ran_out(tx: Tx, now: int) -> list[str]:
    """What there is to end, in words; empty most of the time."""
    expired = [d.id for d in store.unfinished(tx) if d.status is Status.PENDING and _over(d.expires_at, now)]
    locked = [row["service"] for row in store.lanes(tx) if _over(row["lock_until"], now)]
    frozen = [freeze.id for freeze in store.freezes(tx) if freeze.until <= now]
    return expired + locked + frozen


def _end(tx: Tx, now: int) -> None:
    for deployment in store.unfinished(tx):
        if deployment.status is Status.PENDING and _over(deployment.expires_at, now):
            lifecycle.expire(tx, deployment, now)
    for row in store.lanes(tx):
        if _over(row["lock_until"], now):
            store.set_lock(tx, row["service"], row["environment"], None)
            fact = events.LaneOpened(service=row["service"], environment=row["environment"], what="lock")
            tx.append(fact, by=SYSTEM)
    for freeze in store.freezes(tx):
        if freeze.until <= now:
            store.delete_freeze(tx, freeze.id)
            environment = freeze.environment.value if freeze.environment else None
            fact_ = events.FreezeLifted(freeze=freeze.id, service=freeze.service, environment=environment)
            tx.append(fact_, by=SYSTEM)


def _over(until: int | None, now: int) -> bool:
    return until is not None and until <= now


class _Retention:
    """Removes what is older than the settings keep it. The ledger and the deployments themselves stay."""

    def __init__(self, parts: Parts, runners: Runners) -> None:
        self._parts = parts
        self._runners = runners

    async def run(self) -> None:
        keep = self._parts.settings.retention
        now = self._parts.clock.micros()
        removed = {
            "runs": await self._remove_runs(now - int(keep.runs * SECOND)),
            "log_chunks": await self._remove_logs(now - int(keep.logs * SECOND)),
        }

        def prune(tx: Tx) -> None:
            removed["idempotency_keys"] = idempotency.prune(tx, now - int(keep.idempotency * SECOND))
            removed["notices"] = notices.prune(tx, now - int(keep.notices * SECOND))
            removed["origins"] = origins.prune(tx, now - int(keep.origins * SECOND))
            removed["ticks"] = prune_ticks(tx, now - int(keep.ticks * SECOND))
            counted = {name: count for name, count in removed.items() if count}
            if counted:
                tx.append(events.RecordsPruned(removed=counted), by=SYSTEM)

        await self._parts.db.write(prune)
        for pipeline in await self._parts.db.read(store.newest_pipelines):
            await self._parts.git.compact(pipeline.service)
        await self._parts.db.maintain()
        await self._parts.logs.maintain()

    async def _remove_runs(self, before: int) -> int:
        old = await self._parts.db.read(lambda tx: store.ended_before(tx, before))
        kept = [deployment_id for deployment_id in old if self._runners.folder(deployment_id).is_dir()]
        for deployment_id in kept:
            await self._runners.discard(deployment_id)
        return len(kept)

    async def _remove_logs(self, before: int) -> int:
        old = await self._parts.db.read(lambda tx: store.ended_before(tx, before))
        kept = await self._parts.logs.read(logs.sizes)
        removed = 0
        for deployment_id in kept.keys() & set(old):
            removed += await self._parts.logs.write(partial(logs.forget, deployment_id=deployment_id))
        return removed
