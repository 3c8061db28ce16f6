"""Lanes, freezes and blocks: what runs where, what waits, and what closes it."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from dg.api import wire
from dg.api.call import Call, Handler, answer, created, ending, items
from dg.core.deployments.models import BlockVersion, LockLane, RequestRollback, SetFreeze
from dg.core.types import Environment


async def list_lanes(call: Call) -> Response:
    environment = call.arguments["environment"]
    lanes = await call.core.lanes.list(
        call.principal,
        service=call.arguments["service"],
        environment=environment and Environment(environment),
    )
    return items(lanes)


async def get_lane(call: Call) -> Response:
    return answer(await call.core.lanes.get(call.principal, *_lane(call)))


async def lock_lane(call: Call) -> Response:
    request = wire.read(LockLane, ending(call))
    return answer(await call.core.lanes.lock(call.principal, *_lane(call), request, call.once))


async def unlock_lane(call: Call) -> Response:
    reason = call.body.get("reason")
    return answer(await call.core.lanes.unlock(call.principal, *_lane(call), reason, call.once))


async def rollback_lane(call: Call) -> Response:
    request = wire.read(RequestRollback, call.body)
    deployment = await call.core.deployments.rollback_lane(call.principal, *_lane(call), request, call.once)
    return created(deployment, f"/deployments/{deployment.id}")


async def preview_rollback(call: Call) -> Response:
    request = wire.read(RequestRollback, call.body)
    return answer(await call.core.deployments.preview_rollback(call.principal, *_lane(call), request))


async def list_lane_queue(call: Call) -> Response:
    return items(await call.core.lanes.queue(call.principal, *_lane(call)))


async def list_blocks(call: Call) -> Response:
    return items(await call.core.lanes.blocks(call.principal, *_lane(call)))


async def block_version(call: Call) -> Response:
    request = wire.read(BlockVersion, call.body)
    return answer(await call.core.lanes.block(call.principal, *_lane(call), request, call.once), 201)


async def unblock_version(call: Call) -> Response:
    commit, reason = call.arguments["commit"].lower(), call.body["reason"]
    block = await call.core.lanes.unblock(call.principal, *_lane(call), commit, reason, call.once)
    return answer(block)


async def list_freezes(call: Call) -> Response:
    return items(await call.core.lanes.freezes(call.principal))


async def create_freeze(call: Call) -> Response:
    request = wire.read(SetFreeze, ending(call))
    return answer(await call.core.lanes.freeze(call.principal, request, call.once), 201)


async def thaw_freeze(call: Call) -> Response:
    return items(await call.core.lanes.thaw(call.principal, call.arguments["id"].lower(), call.once))


async def thaw_freezes(call: Call) -> Response:
    return items(await call.core.lanes.thaw(call.principal, None, call.once))


def _lane(call: Call) -> tuple[str, Environment]:
    return call.arguments["service"], Environment(call.arguments["environment"])


HANDLERS: Mapping[str, Handler] = {
    "listLanes": list_lanes,
    "getLane": get_lane,
    "lockLane": lock_lane,
    "unlockLane": unlock_lane,
    "rollbackLane": rollback_lane,
    "previewRollback": preview_rollback,
    "listLaneQueue": list_lane_queue,
    "listBlocks": list_blocks,
    "blockVersion": block_version,
    "unblockVersion": unblock_version,
    "listFreezes": list_freezes,
    "createFreeze": create_freeze,
    "thawFreeze": thaw_freeze,
    "thawFreezes": thaw_freezes,
}
