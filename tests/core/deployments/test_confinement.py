"""Steps that ask for less than the server's user has: refused before they start, or kept while they run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.core.deployments.world import OPERATOR, World, open_world, step

from dg.core.deployments.confinement import objections
from dg.core.deployments.models import CreateDeployment, Status
from dg.core.deployments.previews import PreviewVerdict
from dg.core.errors import Refused
from dg.core.testing import eventually
from dg.core.types import Environment
from dg.runner.abilities import Abilities
from dg.runner.accounts import possible
from dg.runner.cgroups import CONTROLLERS
from dg.settings.tree import Runner

ALL = Abilities(frozenset(CONTROLLERS), users=True, network=True)
NONE = Abilities(frozenset(), users=False, network=False)
ALLOWED = Runner(users=("deploy",))
needs_root = pytest.mark.skipif(not possible(), reason="only root can begin a step as another user")


def asked(**more: Any) -> Mapping[str, Any]:
    return {"name": "rollout", "limits": {}, "user": None, "network": True, "background": False, **more}


def test_everything_may_be_asked_where_it_is_allowed_and_can_be_had() -> None:
    step = asked(limits={"memory": 1 << 30, "processes": 9, "cpu": 2.0}, user="deploy", network=False)
    assert list(objections(step, ALLOWED, ALL)) == []


@pytest.mark.parametrize(
    ("more", "settings", "abilities", "part"),
    [
        ({"user": "root"}, ALLOWED, ALL, "the user root is not among `runner.users`"),
        ({"user": "deploy"}, Runner(), ALL, "the user deploy is not among `runner.users`"),
        ({"user": "deploy"}, ALLOWED, NONE, "`user` needs a server that runs as root"),
        ({"network": False}, ALLOWED, NONE, "this machine gives no network namespace"),
        ({"limits": {"cpu": 1.0}}, ALLOWED, NONE, "`cpu` needs a control group here"),
        ({"limits": {"processes": 5}}, ALLOWED, NONE, "`processes` needs a control group here"),
        ({"limits": {"cpu": 1.0}, "background": True}, ALLOWED, ALL, "`cpu` needs a control group here"),
    ],
)
def test_what_is_not_allowed_or_cannot_be_had_is_said(
    more: dict[str, Any], settings: Runner, abilities: Abilities, part: str
) -> None:
    (said,) = objections(asked(**more), settings, abilities)
    assert part in said


def test_memory_and_files_can_be_limited_on_every_machine() -> None:
    limits = {"memory": 1 << 30, "file_size": 1000, "open_files": 10}
    assert list(objections(asked(limits=limits), ALLOWED, NONE)) == []


def test_server_may_let_limits_go_but_never_a_user_or_the_network() -> None:
    careless = Runner(limits="best_effort")
    assert list(objections(asked(limits={"cpu": 1.0}), careless, NONE)) == []
    assert len(list(objections(asked(user="deploy", network=False), careless, NONE))) == 2


async def test_deployment_that_asks_for_a_user_who_is_not_allowed_is_refused_at_once(world: World) -> None:
    await world.register(step("rollout", "deploy", "id", 'user = "nobody"'))
    with pytest.raises(Refused, match="`rollout` cannot run here: the user nobody is not among") as caught:
        await world.create()
    assert caught.value.reason == "cannot_confine"
    assert await world.entries("DeploymentCreated") == []


async def test_preview_says_so_and_shows_what_is_asked(world: World) -> None:
    more = ('user = "nobody"', 'limits = { memory = "64 MiB" }')
    await world.register(step("rollout", "deploy", "id", *more))
    request = CreateDeployment(environment=Environment.STAGING, ref="v1")
    preview = await world.core.deployments.preview(OPERATOR, request)
    assert preview.verdict is PreviewVerdict.REFUSED
    assert [objection.reason for objection in preview.objections] == ["cannot_confine"]
    assert [(each.user, dict(each.limits)) for each in preview.steps] == [("nobody", {"memory": 64 << 20})]


async def test_limits_reach_the_step(world: World) -> None:
    await world.register(step("rollout", "deploy", "ulimit -n", "limits = { open_files = 77 }"))
    deployment = await world.deploy()
    assert await world.lines(deployment) == ["77"]


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that another user can reach."""
    base = Path(tempfile.mkdtemp(prefix="dg-", dir="/var/tmp"))
    base.chmod(0o711)
    yield base / "areas"
    shutil.rmtree(base)


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@needs_root
async def test_another_user_deploys_from_a_repository_of_its_own_and_leaves_nothing(
    tmp_path: Path, reachable: Path
) -> None:
    show = "id -un; cat release; git log -1 --format=%s; echo image=web:$(cat release) >> $DG_OUTPUTS"
    spy = f"cat {tmp_path}/home/secrets.toml || echo kept out"
    runner = {"users": ["nobody"], "area": str(reachable)}
    async with open_world(tmp_path, runner=runner) as world:
        await world.register(
            step("build", "build", show, 'user = "nobody"'),
            step("rollout", "deploy", spy, 'user = "nobody"'),
            step("after", "deploy", "id -u; echo $DG_OUTPUT_IMAGE"),
        )
        deployment = await world.ended(await world.create())
        lines = await world.lines(deployment)
        assert deployment.status is Status.SUCCESS, lines
        assert lines[:3] == ["nobody", "1", "Release 1"]
        assert lines[4:] == ["kept out", "0", "web:1"]

        async def empty() -> bool:
            return not _names(reachable)

        await eventually(empty)
