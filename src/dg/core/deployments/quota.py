"""Keeps the logs of all deployments together within a bound; for the jobs, `/health` and the diagnostics."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from dg.core import events
from dg.core.access.models import SYSTEM
from dg.core.database import Tx
from dg.core.deployments import logs, store
from dg.core.deployments.parts import Parts, Runners


class LogQuota:
    """The logs of the oldest ended deployments go first; of one that runs, or may still, nothing goes."""

    def __init__(self, parts: Parts, runners: Runners) -> None:
        self._parts = parts
        self._runners = runners
        self._most = parts.settings.retention.log_quota
        self._bytes: int | None = None

    @property
    def state(self) -> str:
        """A word for `/health`: what is left when nothing more may go can be too much."""
        return "over quota" if (self._bytes or 0) > self._most else "ok"

    def figures(self) -> dict[str, Any]:
        """Bytes as counted last, null before, and the most there may be; for the diagnostics."""
        return {"bytes": self._bytes, "quota": self._most}

    async def keep(self) -> None:
        """Count, and remove what is too much. Facts: RecordsPruned. Raises Unavailable."""
        sizes = await self._parts.logs.read(logs.sizes)
        self._bytes = sum(sizes.values())
        if self._bytes <= self._most:
            return
        chunks = 0
        for deployment_id in await self._parts.db.read(_ended):
            if self._bytes <= self._most:
                break
            if deployment_id in sizes:
                chunks += await self._remove(deployment_id)
                self._bytes -= sizes[deployment_id]
        if chunks:
            fact = events.RecordsPruned(removed={"log_chunks_over_quota": chunks})
            await self._parts.db.write(lambda tx: tx.append(fact, by=SYSTEM))

    async def _remove(self, deployment_id: str) -> int:
        # The run's folder holds the same lines once more.
        await self._runners.discard(deployment_id)
        return await self._parts.logs.write(partial(logs.forget, deployment_id=deployment_id))


def _ended(tx: Tx) -> list[str]:
    """Oldest first, without those that were abandoned and may still write."""
    left = {row["left_by"] for row in store.left_lanes(tx)}
    return [found for found in store.ended_before(tx, sys.maxsize) if found not in left]
