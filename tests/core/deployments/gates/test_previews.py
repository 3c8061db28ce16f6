"""Previews of what is guarded: the gates are those that the deployment then waits for."""

from __future__ import annotations

from typing import Any

from tests.core.deployments.gates.yard import HOUR, Yard, closed
from tests.core.deployments.world import ADMIN, OPERATOR

from dg.core.deployments.models import CreateDeployment, Deployment, Gate, RequestRollback
from dg.core.deployments.previews import Preview, PreviewVerdict, RollbackVerdict
from dg.core.types import Environment

PRODUCTION = Environment.PRODUCTION
SECOND = 1_000_000


async def preview(yard: Yard, ref: str = "v1", **more: Any) -> Preview:
    request = CreateDeployment(environment=PRODUCTION, ref=ref, **more)
    return await yard.world.core.deployments.preview(OPERATOR, request)


def spoken(gates: tuple[Gate, ...] | None, made: Deployment) -> list[tuple[str, bool, str]]:
    """The gates as they are told, without the id that a preview cannot know."""
    return [(gate.name, gate.open, gate.sentence.replace(made.id, "ID")) for gate in gates or ()]


async def test_a_preview_shows_the_gates_that_the_deployment_then_has(yard: Yard) -> None:
    await yard.demand('approvals = { count = 2 }\nrequires = ["staging"]\ngates = ["lane.failures == 0"]')
    foreseen = await preview(yard)
    made = await yard.ask()
    assert spoken(foreseen.gates, made) == spoken(made.gates, made)
    assert [(gate.name, gate.open) for gate in foreseen.gates] == [
        ("approvals", False),
        ("requires", False),
        ("lane.failures == 0", True),
    ]
    assert foreseen.verdict is PreviewVerdict.WAITS
    assert foreseen.sentence == foreseen.gates[0].sentence
    assert foreseen.sentence.endswith("An approver or an admin can approve it: dg approve ID")
    assert foreseen.estimated_start is None


async def test_a_success_in_an_earlier_environment_counts_for_the_very_commit(yard: Yard) -> None:
    await yard.demand('requires = ["staging"]')
    await yard.succeed("v2", "staging")
    await yard.ask("v3")
    assert [gate.open for gate in (await preview(yard, "v1")).gates] == [False]
    ready = await preview(yard, "v2")
    assert ([gate.open for gate in ready.gates], ready.verdict) == ([True], PreviewVerdict.STARTS)


async def test_what_opens_by_itself_says_when_it_would_start(yard: Yard) -> None:
    await yard.demand('requires = ["staging"]\nsoak = "1h"')
    await yard.succeed("v1", "staging")
    soaked = yard.clock.micros() + int(HOUR * SECOND)
    found = await preview(yard)
    gate = next(gate for gate in found.gates if not gate.open)
    assert (gate.name, gate.opens_at) == ("soak", soaked)
    assert (found.verdict, found.estimated_start) == (PreviewVerdict.WAITS, soaked)


async def test_a_base_that_moved_and_a_queue_that_is_closed_are_objections(yard: Yard) -> None:
    await yard.demand('queue = "reject"')
    await yard.succeed("v1", "production")
    await yard.ask("v2")
    found = await preview(yard, "v3", base_sha="0" * 40)
    assert [objection.reason for objection in found.objections] == ["outdated_base", "queue_closed"]


async def test_a_rollback_passes_every_gate_and_its_preview_says_so(yard: Yard) -> None:
    await yard.succeed("v1", "production")
    await yard.succeed("v2", "production")
    await yard.demand("approvals = {}")
    core = yard.world.core.deployments
    foreseen = await core.preview_rollback(OPERATOR, "web", PRODUCTION, RequestRollback())
    made = await core.rollback_lane(OPERATOR, "web", PRODUCTION, RequestRollback())
    assert foreseen.verdict is RollbackVerdict.SAFE
    assert closed(await core.get(ADMIN, made.id)) == []
