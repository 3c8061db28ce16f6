"""Starts the sandbox's own `dg serve`, and ends it together with the runners that it leaves."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from dg.client.app import Client
from dg.client.auth import find
from dg.core.clock import Clock
from dg.core.home import Home, write_private
from dg.runner import lease, processes
from dg.sandbox.home import SandboxHome
from dg.sandbox.owned import owned

START_SECONDS = 30.0
GRACE = 0.5

SETTINGS = """\
[outbound]
allow = ["127.0.0.1"]                  # where the shops are that probes ask

[backup]
at = "0 * * * *"
what = ["development", "staging", "production"]

"""


@dataclass(frozen=True)
class Running:
    """A server that accepts requests."""

    pid: int
    url: str
    ready: str
    client: Client


@asynccontextmanager
async def open_server(home: SandboxHome, port: int, clock: Clock, more: str = "") -> AsyncIterator[Running]:
    """A real server on `home` that runs until the block ends; `more` are settings beside the usual ones.

    Raises Unavailable when it does not start.
    """
    write_private(home.path / "server.toml", SETTINGS + more)
    command = (
        *(sys.executable, "-P", "-m", "dg.sandbox.lifeline", "0", "serve"),
        *("--home", str(home.path), "--host", "127.0.0.1", "--port", str(port)),
    )
    try:
        async with owned(command, home.log("server"), environ(os.environ), clock) as server:
            ready = await server.says(" ready on ", START_SECONDS)
            found = find({}, home.path)
            async with Client(found.url, found.token, clock=clock) as client:
                yield Running(server.pid, found.url, ready, client)
    finally:
        await asyncio.to_thread(end_runners, Home(home.path).lanes)


def environ(outer: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment, in which no setting of a real server stands, and `python3` is this Python."""
    kept = {name: value for name, value in outer.items() if not name.startswith("DG_")}
    kept["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), outer.get("PATH", os.defpath)))
    return kept


def end_runners(lanes: Path) -> None:
    """Kill the runners that hold a lane, and what their steps began: they outlive their server on purpose."""
    for path in lanes.glob("*.lock"):
        holder = lease.holder(str(path))
        if holder and processes.alive(holder.pid, holder.start_time):
            processes.send(holder.pid, signal.SIGKILL)
            processes.kill_tagged(holder.deployment, GRACE)
