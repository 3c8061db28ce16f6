"""A desk where the rules are tried, and a world in which real deployments run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.core.deployments.desk import Desk

from dg.core.testing import ManualClock, open_ground


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock = ManualClock()
    async with open_ground(tmp_path, clock) as ground:
        yield Desk(ground.db, clock)
