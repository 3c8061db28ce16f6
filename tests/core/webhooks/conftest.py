"""A whole core that may send to loopback, and a receiver there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.core.receivers import Receiver, receiving
from tests.core.webhooks.yard import Yard, open_yard


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


@pytest.fixture
async def yard(tmp_path: Path, receiver: Receiver, either_url: str | None) -> AsyncIterator[Yard]:
    async with open_yard(tmp_path / "home", receiver, either_url) as found:
        yield found
