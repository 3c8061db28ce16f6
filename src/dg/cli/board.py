"""The board of `dg status`: every lane in a line, and the deployments that wait or run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dg.cli.output import Meaning, Output, Text
from dg.cli.words import ago, running, version, who

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.deployments.models import Deployment, Gate, Lane
    from dg.core.types import Environment

ACTIVE = "status=pending,building,deploying"


@dataclass(frozen=True)
class Seen:
    """The lanes, the deployment that runs in each by id, and what waits or is under way."""

    lanes: Sequence[Lane]
    current: Mapping[str, Deployment]
    active: Sequence[Deployment]


async def gather(client: Client, service: str | None, environment: Environment | None) -> Seen:
    """Ask for everything that the board shows."""
    where = environment.value if environment else None
    lanes, page = await asyncio.gather(
        client.lanes.list(service=service, environment=environment),
        client.deployments.list(service=service, environment=where, matching=ACTIVE, limit=200),
    )
    current = await asyncio.gather(*(client.deployments.get(lane.current) for lane in lanes if lane.current))
    return Seen(lanes, {deployment.id: deployment for deployment in current}, page.items)


def as_json(seen: Seen) -> dict[str, object]:
    """The lanes, and the deployments that wait or run, as the API writes them."""
    from dg.client.wire import encode

    return {
        "lanes": [encode(lane) for lane in seen.lanes],
        "deployments": [encode(each) for each in seen.active],
    }


def board(seen: Seen, output: Output, now: int) -> list[list[Text]]:
    """Rows for service, environment, what runs, its age, and the lane's state."""
    return [_lane(lane, seen.current.get(lane.current or ""), output, now) for lane in seen.lanes]


def _lane(lane: Lane, current: Deployment | None, output: Output, now: int) -> list[Text]:
    age = ago(current.completed_at, now) if current else ""
    return [lane.service, lane.environment.value, running(lane), age, output.status(lane.state.value)]


def sentences(seen: Seen, output: Output) -> list[list[Text]]:
    """A row for each lane that is not simply open, then each deployment with a closed gate: the way out."""
    lanes: list[list[Text]] = [
        [output.glyph(lane.state.value), lane.sentence]
        for lane in seen.lanes
        if lane.state.value != "open" or not lane.known
    ]
    held: list[list[Text]] = [
        [output.glyph(_state(deployment)), f"#{deployment.number} {deployment.hold}"]
        for deployment in reversed(seen.active)
        if _closed(deployment)
    ]
    return lanes + held


def _closed(deployment: Deployment) -> list[Gate]:
    return [gate for gate in deployment.gates or () if not gate.open]


def _state(deployment: Deployment) -> str:
    """Its status, or that a person has to agree to it first."""
    waits = any(gate.name == "approvals" for gate in _closed(deployment))
    return "needs_approval" if waits else deployment.status.value


def under_way(seen: Seen, output: Output, now: int) -> list[list[Text]]:
    """Rows for the deployments that run or wait, the oldest first."""
    return [
        [
            str(deployment.number),
            f"{deployment.service} {version(deployment)}",
            deployment.environment.value,
            output.status(_state(deployment)),
            who(deployment),
            ago(deployment.created_at, now),
            (deployment.id, Meaning.DIM),
        ]
        for deployment in reversed(seen.active)
    ]
