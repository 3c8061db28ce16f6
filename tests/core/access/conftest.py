"""An open access room over a fresh home."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.core.access.room import Room, enter

from dg.core.testing import ManualClock, open_ground
from dg.settings.access import Access as AccessSettings


@pytest.fixture
async def room(tmp_path: Path, database_url: str | None) -> AsyncIterator[Room]:
    clock = ManualClock()
    async with open_ground(tmp_path, clock, url=database_url) as ground:
        yield await enter(ground, clock, AccessSettings())
