"""A home moves to PostgreSQL whole, or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from tests.core.deployments.world import ADMIN, World, open_world
from tests.postgresql import TEMPLATE, Cluster

from dg.core import moving, schema
from dg.core.deployments.models import Status
from dg.core.errors import Invalid, NotFound, Refused
from dg.core.home import Home
from dg.core.moving import move
from dg.settings import Settings


@pytest.fixture
def url(cluster: Cluster) -> Iterator[str]:
    """An empty database."""
    url = cluster.create()
    yield url
    cluster.drop(url)


async def used(path: Path) -> Settings:
    """The settings of a home in which something happened."""
    async with open_world(path) as world:
        await world.register()
        await world.deploy("v1")
        await world.deploy("v2", "staging")
    with closing(sqlite3.connect(world.home.state)) as file, file:
        file.execute("UPDATE steps SET detail = 'a' || char(0) || 'b'")
    return world.settings


def tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {name for (name,) in found}


async def seen(world: World) -> tuple[object, ...]:
    """Everything that people see of it."""
    made = await world.core.deployments.list(ADMIN, limit=100)
    lines = [await world.lines(deployment) for deployment in made.items]
    return made.items, lines, await world.entries()


async def test_a_moved_home_goes_on_as_it_was(tmp_path: Path, url: str) -> None:
    settings = await used(tmp_path)
    async with open_world(tmp_path, passive=True) as world:
        before = await seen(world)
    kept = world.home.state.read_bytes()
    moved = move(settings, url)
    assert moved.rows["deployments"] == 2
    assert moved.rows["chunks"] > 0
    every = {table.name for kind in (schema.state, schema.logs) for table in kind.sorted_tables}
    assert moved.rows.keys() == every
    assert moved.head.seq == moved.rows["ledger"]
    assert world.home.state.read_bytes() == kept
    async with open_world(tmp_path, passive=True, url=url) as world:
        assert await seen(world) == before
        assert (await world.core.feed.verify(ADMIN)).ok
    async with open_world(tmp_path, url=url) as world:
        third = await world.deploy("v3")
        assert (third.number, third.status) == (3, Status.SUCCESS)


async def test_a_database_with_anything_in_it_is_left_alone(tmp_path: Path, cluster: Cluster) -> None:
    settings = await used(tmp_path)
    taken = cluster.create(TEMPLATE)
    with pytest.raises(Refused, match="is not empty, and a move replaces nothing") as caught:
        move(settings, taken)
    assert caught.value.reason == "database_not_empty"
    cluster.drop(taken)


async def test_a_move_that_is_broken_off_at_its_end_leaves_nothing(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    settings = await used(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(moving, "_checked", interrupted)
        with pytest.raises(KeyboardInterrupt):
            move(settings, url)
    assert tables(url) == set()
    assert move(settings, url).rows["deployments"] == 2


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("DELETE FROM ledger WHERE seq = 2", "entry 2 is missing"),
        ("UPDATE receipts SET body = replace(body, 'v1', 'v9')", "the receipt of .* was changed"),
    ],
)
async def test_a_ledger_that_is_not_whole_is_not_moved(
    tmp_path: Path, url: str, damage: str, said: str
) -> None:
    settings = await used(tmp_path)
    with closing(sqlite3.connect(Home(settings.home).state)) as file, file:
        file.execute(damage)
    with pytest.raises(Invalid, match=f"nothing was moved: {said}"):
        move(settings, url)
    assert tables(url) == set()


async def test_a_home_whose_server_is_up_is_not_moved(tmp_path: Path, url: str) -> None:
    async with open_world(tmp_path, passive=True) as world:
        with pytest.raises(Refused, match="another dg server holds the home"):
            move(world.settings, url)
    assert tables(url) == set()


def test_an_empty_home_a_missing_target_and_a_visible_password_are_refused(tmp_path: Path, url: str) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(NotFound, match="holds no record"):
        move(settings, url)
    with pytest.raises(Invalid, match="say where to"):
        move(settings, None)
    with pytest.raises(Invalid, match="can see a password") as caught:
        move(settings, "postgresql://dg:hunter2@db/dg")
    assert "hunter2" not in caught.value.message


async def test_a_database_that_is_not_there_is_said(tmp_path: Path, cluster: Cluster) -> None:
    settings = await used(tmp_path)
    with pytest.raises(Refused, match='database "nowhere" does not exist'):
        move(settings, cluster.url("nowhere"))
