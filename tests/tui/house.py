"""The dashboard against a real server, driven as a person would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.screen import Screen

from dg.client.app import Client
from dg.client.auth import find
from dg.core.deployments.models import CreateDeployment, Deployment
from dg.core.types import Environment
from dg.tui.app import Dashboard

WITHIN = 60.0
WIDE = (160, 45)


def client(home: Path) -> Client:
    """A client of the owner of the server with that home."""
    found = find({}, home)
    return Client(found.url, found.token)


async def until(pilot: Pilot[Any], holds: Callable[[], object], within: float = WITHIN) -> None:
    """Wait for something to be so. Raises AssertionError when it does not come to be."""
    async with asyncio.timeout(within):
        while not holds():
            await pilot.pause(0.02)


@asynccontextmanager
async def dashboard(
    connect: Callable[[], Client],
    size: tuple[int, int] = WIDE,
    *,
    live: bool = True,
    errs: bool = False,
    **how: Any,
) -> AsyncIterator[tuple[Dashboard, Pilot[None]]]:
    """The dashboard at work; `live` waits for its connection. It errs only where a test says so."""
    app = Dashboard(connect, theme="dg-night", **how)
    async with app.run_test(size=size) as pilot:
        if live:
            await until(pilot, lambda: app.store.link.live)
            await pilot.pause(0.3)
        yield app, pilot
    assert errs or app.troubles.count == 0, app.troubles.last


def text(screen: Screen[Any]) -> str:
    """What stands on a screen, line by line."""
    return "\n".join(strip.text for strip in screen._compositor.render_strips())


async def deploy(home: Path, ref: str, environment: Environment = Environment.STAGING) -> Deployment:
    """A deployment that somebody else asks for."""
    async with client(home) as dg:
        return await dg.deployments.create(
            CreateDeployment(environment=environment, service="web", ref=ref, note=f"try {ref}")
        )


async def finish(home: Path, ref: str, environment: Environment = Environment.STAGING) -> Deployment:
    """One that has ended."""
    made = await deploy(home, ref, environment)
    async with client(home) as dg:
        return [progress async for progress in dg.deployments.watch(made.id, every=0.05)][-1].deployment
