"""Gives a lane back once nothing lives of the deployment that was abandoned in it; for the dispatcher."""

from __future__ import annotations

import logging

from dg.core.deployments import endings, store
from dg.core.deployments.parts import Parts, Runners
from dg.core.errors import Unavailable

log = logging.getLogger(__name__)

_AGAIN = 1.0


async def free_in_time(parts: Parts, runners: Runners, deployment_id: str, lane: tuple[str, str]) -> None:
    """Return when the lane is free again."""
    while not await _freed(parts, runners, deployment_id, lane):
        await parts.clock.sleep(_AGAIN)
    await runners.discard_work(deployment_id)


async def _freed(parts: Parts, runners: Runners, deployment_id: str, lane: tuple[str, str]) -> bool:
    try:
        if gone := await _is_gone(parts, runners, deployment_id, lane):
            await parts.db.write(lambda tx: endings.set_free(tx, lane, deployment_id))
    except (Unavailable, OSError) as error:
        log.warning("what is left of %s is looked at again in a second: %s", deployment_id, error)
        return False
    return gone


async def _is_gone(parts: Parts, runners: Runners, deployment_id: str, lane: tuple[str, str]) -> bool:
    place = await parts.db.read(lambda tx: store.place(tx, deployment_id))
    if place != parts.place and not runners.folder(deployment_id).is_dir():
        # It was begun on another host, where this server cannot look; the lane's lock asks a person to.
        return True
    remains = await runners.clear(deployment_id, lane)
    return remains is not None and not remains.processes_left and await runners.free(lane)
