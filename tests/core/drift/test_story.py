"""Drift around real deployments: what a command says runs there, whoever put it there."""

from __future__ import annotations

from pathlib import Path

from tests.core.deployments.world import open_world, step
from tests.core.drift.test_checks import ENVIRON

from dg.core.access.models import SYSTEM
from dg.core.app import _lane
from dg.core.drift.drivers import Checks
from dg.core.drift.models import DriftStatus, ServiceDrift
from dg.core.drift.watch import Watch
from dg.core.environments.models import UpdateEnvironment
from dg.core.environments.service import runs_of
from dg.core.http import Outbound
from dg.core.testing import ManualClock
from dg.core.types import Environment
from dg.settings.tree import Outbound as OutboundSettings


async def test_what_somebody_changed_by_hand_is_found_and_the_next_deployment_resolves_it(
    tmp_path: Path,
) -> None:
    live = tmp_path / "REVISION"
    async with open_world(tmp_path, drift={"commands": True}) as world:
        await world.register(step("rollout", "deploy", f"echo $DG_SHA > {live}"))
        clock = ManualClock()
        checks = Checks(Outbound(OutboundSettings()), ENVIRON, commands=True)
        watch = Watch(world.db, clock, runs_of, _lane, checks, 2)
        request = {"domain": "d.example.com", "config": {}, "runs": {"web": {"command": ["cat", str(live)]}}}
        wish = UpdateEnvironment.model_validate(request)
        await world.core.environments.update(SYSTEM, Environment.STAGING, wish)

        async def seen(looks: int = 2) -> ServiceDrift:
            for _ in range(looks):
                await watch.look()
                await clock.advance(60)
            (found,) = await world.core.drift.list(SYSTEM, Environment.STAGING)
            return found

        assert (await seen()).status is DriftStatus.UNKNOWN
        first = await world.deploy("v1", "staging")
        assert (await seen()).status is DriftStatus.SAME
        live.write_text("hotfix-7\n")
        drifted = await seen()
        assert drifted.status is DriftStatus.DRIFTED
        assert drifted.sentence == (
            f"web in staging runs hotfix-7, but dg deployed {first.version} "
            f"({first.commit_sha[:7]}, #{first.number})"
        )
        await world.deploy("v1", "staging")
        assert (await seen(1)).status is DriftStatus.SAME
        kinds = [each.type for each in await world.entries() if each.type.startswith("drift.")]
        assert kinds == ["drift.found", "drift.resolved"]
        live.unlink()
        assert "No such file" in (await seen(1)).sentence
