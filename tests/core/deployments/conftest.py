"""A desk where the rules are tried, and a world in which real deployments run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.core.deployments.desk import Desk
from tests.core.deployments.world import World, open_world

from dg.core.testing import ManualClock, open_ground


@pytest.fixture
async def desk(tmp_path: Path, database_url: str | None) -> AsyncIterator[Desk]:
    clock = ManualClock()
    async with open_ground(tmp_path, clock, url=database_url) as ground:
        yield Desk(ground.db, clock)


@pytest.fixture
async def quiet(tmp_path: Path, either_url: str | None) -> AsyncIterator[World]:
    """A core that starts nothing: what is created stays pending."""
    async with open_world(tmp_path, passive=True, url=either_url) as world:
        await world.register()
        yield world


@pytest.fixture
async def world(tmp_path: Path, either_url: str | None) -> AsyncIterator[World]:
    """A core that runs what it is given; whatever still runs at the end is cancelled."""
    async with open_world(tmp_path, url=either_url) as world:
        yield world
        await world.stop()
