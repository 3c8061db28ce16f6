"""`dg web` before a server in which something was deployed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from tests.tui.conftest import House, served
from tests.tui.house import finish
from tests.web.house import Site, web


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with served(tmp_path_factory.mktemp("house")) as house:
        asyncio.run(finish(house.home, "good"))
        yield house


@pytest.fixture(scope="module")
def site(house: House) -> Iterator[Site]:
    """One that tests do not break; each person may have two dashboards, all together three."""
    with web(house.server, house.home, "--each", "2", "--most", "3") as site:
        yield site
