"""An office on each transport."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.bot.office import Office, open_office


@pytest.fixture(params=["socket", "http"])
async def office(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Office]:
    """A team whose people are linked; production takes one approval."""
    async with open_office(tmp_path, request.param) as found:
        yield found
