"""What an environment demands by itself: judged beside settings and pipeline, at once and for good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.core.deployments.gates.yard import Yard
from tests.core.deployments.world import ADMIN

from dg.core.environments.models import EnvironmentState, UpdateEnvironment
from dg.core.environments.service import protections_of
from dg.core.errors import Invalid
from dg.core.protection import Protections
from dg.core.types import Environment
from dg.settings import Settings

PRODUCTION = Environment.PRODUCTION
TWO = {"approvals": {"count": 2}}


async def protect(yard: Yard, protection: dict[str, Any] | None, **more: Any) -> EnvironmentState:
    request = UpdateEnvironment(domain="app.example.com", config=more, protection=protection)
    return await yard.world.core.environments.update(ADMIN, PRODUCTION, request)


async def test_it_is_demanded_beside_what_the_pipeline_demands(yard: Yard) -> None:
    await yard.demand('approvals = { count = 1, from = ["role:approver"] }')
    await protect(yard, TWO)
    made = await yard.ask()
    assert made.guard is not None
    assert sorted(each.count for each in made.guard.approvals) == [1, 2]
    await yard.approve(made, await yard.person("ana"))
    assert await yard.start() is None
    await yard.approve(made, await yard.person("ben"))
    assert (await yard.start()) is not None


async def test_who_waits_already_waits_for_it_and_what_was_decided_is_void(yard: Yard) -> None:
    await yard.demand('approvals = { count = 1, from = ["role:approver"] }')
    made = await yard.ask()
    await yard.approve(made, await yard.person("ana"))
    await protect(yard, TWO)
    assert await yard.start() is None
    voided = [entry.payload["reason"] for entry in await yard.desk().entries("approval.voided")]
    assert voided == ["what production demands was changed"]


async def test_it_stays_until_it_is_taken_away(yard: Yard) -> None:
    await protect(yard, {"protected": True} | TWO)
    assert (await protect(yard, None, workers=2)).protection == {"protected": True} | TWO
    kept = Protections(yard.world.core.settings)
    for name, own in (await protections_of(yard.world.db)).items():
        kept.hold(name, own)
    assert kept.protected(PRODUCTION)
    assert [demands.approvals and demands.approvals.count for demands in kept.demands(PRODUCTION)] == [
        None,
        2,
    ]
    assert (await protect(yard, {})).protection == {}
    assert (await yard.ask()).guard is None


def test_it_never_loosens_the_settings(tmp_path: Path) -> None:
    strict = {"production": {"protected": True, "approvals": {"count": 3}}}
    kept = Protections(Settings.model_validate({"home": tmp_path, "environments": strict}))
    kept.hold(PRODUCTION, {"protected": False, "approvals": {"count": 1}})
    assert kept.protected(PRODUCTION)
    assert [demands.approvals and demands.approvals.count for demands in kept.demands(PRODUCTION)] == [3, 1]


@pytest.mark.parametrize(
    ("field", "protection"),
    [
        ("protection.protected", {"protected": "yes"}),
        ("protection.approvals.count", {"approvals": {"count": 0}}),
        ("protection.requires[0]", {"requires": ["production"]}),
        ("protection.approval", {"approval": {}}),
        ("protection", {"queue": None}),
    ],
)
async def test_what_cannot_be_demanded_is_refused_by_its_field(
    yard: Yard, field: str, protection: dict[str, Any]
) -> None:
    with pytest.raises(Invalid) as refused:
        await protect(yard, protection)
    errors = refused.value.details["errors"]
    assert isinstance(errors, list)
    assert [error["field"] for error in errors] == [field]
