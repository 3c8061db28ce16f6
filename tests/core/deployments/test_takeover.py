"""Another host takes the database over: it follows what it can reach, and never runs again what it cannot."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.core.deployments.test_dispatcher import WAITS, let_go, rolling, runner_of
from tests.core.deployments.world import ADMIN, World, open_world
from tests.postgresql import TEMPLATE, Cluster

from dg.core.database import Tx
from dg.core.deployments import lifecycle, store
from dg.core.deployments.models import Deployment, Kind, LaneState, Reason, Status
from dg.core.errors import Refused
from dg.core.home import Place
from dg.core.testing import eventually
from dg.runner import processes

ELSEWHERE = Place("build1", "/var/lib/dg", "0" * 32)


@pytest.fixture
def url(cluster: Cluster) -> Iterator[str]:
    """A migrated database."""
    url = cluster.create(TEMPLATE)
    yield url
    cluster.drop(url)


@asynccontextmanager
async def other_home(path: Path, url: str) -> AsyncIterator[World]:
    """The world of a second host, with the keys of the first."""
    keys = path / "other" / "home" / "keys"
    keys.mkdir(parents=True, mode=0o700)
    for key in (path / "home" / "keys").iterdir():
        shutil.copy(key, keys)
    keys.parent.chmod(0o700)
    async with open_world(path / "other", url=url) as world:
        yield world


async def begin(world: World) -> Deployment:
    await world.register(WAITS)
    running = await world.create()
    await world.reached(running, rolling)
    return running


async def clear_away(world: World, deployment: Deployment) -> None:
    """End the first host's run, which nobody follows any more."""
    let_go(world)
    pid = runner_of(world, deployment)
    await eventually(lambda: not processes.alive(pid, ""))


async def test_a_run_out_of_reach_is_ended_as_interrupted_and_its_lane_names_the_host(
    tmp_path: Path, url: str
) -> None:
    async with open_world(tmp_path, url=url) as first:
        running = await begin(first)
        waiting = await first.create("v2")
    async with other_home(tmp_path, url) as second:
        ended = await second.ended(running)
        assert (ended.status, ended.reason, ended.touched) == (Status.FAILED, Reason.INTERRUPTED, True)
        place = str(first.home.place())
        assert place in str(ended.message)
        lane = await second.core.lanes.get(ADMIN, "web", "production")
        assert (lane.state, lane.known, lane.holder) == (LaneState.LOCKED, False, None)
        assert lane.lock is not None
        assert f"was interrupted midway on {place}; look there before you deploy" in lane.lock.reason
        assert (await second.get(waiting)).status is Status.PENDING
        assert second.written() == []
        await second.core.deployments.cancel(ADMIN, waiting.id)
    await clear_away(first, running)
    assert first.written() == ["begun", "done"]


async def test_a_rollback_is_not_begun_beside_a_run_that_may_go_on(tmp_path: Path, url: str) -> None:
    async with open_world(tmp_path, url=url) as first:
        await first.register()
        await first.deploy("v1")
        running = await begin(first)
        await first.db.write(
            lambda tx: store.change(
                tx, store.require(tx, running.id), cancel_requested_at=1, cancel_then_rollback=True
            )
        )
    async with other_home(tmp_path, url) as second:
        await second.ended(running)
        made = await second.core.deployments.list(ADMIN, limit=10)
        assert [deployment.kind for deployment in made.items] == [Kind.DEPLOY, Kind.DEPLOY]
    await clear_away(first, running)


async def test_what_ends_there_later_changes_nothing_here(tmp_path: Path, url: str) -> None:
    async with open_world(tmp_path, url=url) as first:
        running = await begin(first)
    async with other_home(tmp_path, url) as second:
        await second.ended(running)
    await clear_away(first, running)
    async with open_world(tmp_path, url=url) as again:
        found = await again.get(running)
        assert (found.status, found.reason) == (Status.FAILED, Reason.INTERRUPTED)


@pytest.mark.parametrize("place", [None, ELSEWHERE])
async def test_only_ones_own_start_that_ran_nothing_is_made_again(
    tmp_path: Path, url: str, place: Place | None
) -> None:
    async with open_world(tmp_path, url=url, passive=True) as world:
        await world.register()
        made = await world.create()

        def start(tx: Tx) -> None:
            lifecycle.start_next(tx, *made.lane, world.core.clock.micros(), 20)
            store.set_place(tx, made.id, place or world.home.place())

        await world.db.write(start)
        if place:
            # A copied home: the folder is here, and says nothing of what happened there.
            (world.home.runs / made.id).mkdir()
    async with open_world(tmp_path, url=url) as world:
        ended = await world.ended(made)
        assert ended.status is (Status.FAILED if place else Status.SUCCESS)
        assert ended.reason is (Reason.INTERRUPTED if place else None)


async def test_a_home_with_other_keys_is_refused(tmp_path: Path, url: str) -> None:
    async with open_world(tmp_path, url=url, passive=True) as first:
        assert first.home.keys.exists()
    with pytest.raises(Refused, match=f"not those of .*{first.home.path}, .* copy its `keys`") as caught:
        async with open_world(tmp_path / "stranger", url=url, passive=True):
            pass
    assert caught.value.reason == "other_keys"
