"""Servers for the dashboard to look at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.client.servers import PIPELINE, Server, make_repository, serving
from tests.tui.house import client, finish

from dg.client.sync import Blocking
from dg.core.types import Environment

APPROVALS = """
[env.production]
approvals = { count = 1, from = ["role:admin"], bypass = "role:admin" }
"""
STAGING, PRODUCTION = Environment.STAGING, Environment.PRODUCTION


@dataclass
class House:
    """A server with the service `web`, and where its repository is."""

    server: Server
    home: Path
    repository: Path


@contextmanager
def served(folder: Path, demands: str = "") -> Iterator[House]:
    repository = make_repository(folder / "web")
    with serving(folder / "home") as server:
        with Blocking(client(folder / "home")) as dg:
            dg.run(dg.client.pipelines.register(PIPELINE.format(repository=repository) + demands))
        yield House(server, folder / "home", repository)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house that the test may break."""
    with served(tmp_path) as house:
        yield house


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[House]:
    """A house in whose production somebody else has to agree."""
    with served(tmp_path, APPROVALS) as house:
        yield house


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house to look at: #1 went well in staging, #2 failed in production, #3 went well in staging."""
    with served(tmp_path_factory.mktemp("house")) as house:
        for ref, environment in (("good", STAGING), ("bad", PRODUCTION), ("good", STAGING)):
            asyncio.run(finish(house.home, ref, environment))
        yield house
