"""Steps that end in every strange way, settings that are wrong, hours of use: the others go on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest
from tests.observed import Observed
from tests.scenarios import truth
from tests.scenarios.house import House, journalled, step
from tests.scenarios.probes import files, http, memory, threads
from websockets.asyncio.client import connect

from dg.client.app import Client
from dg.core.deployments.models import CreateDeployment, Deployment, Status
from dg.core.testing import eventually
from dg.core.types import Environment
from dg.sandbox.server import environ

ENDS = {
    "an exception": "raise RuntimeError('strange')",
    "os._exit": "import os; os._exit(7)",
    "a RecursionError": "f = lambda: f(); f()",
    "a MemoryError": "raise MemoryError",
    "a signal of its own": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "a kill of its whole group": "import os, signal; os.killpg(0, signal.SIGKILL)",
}
USES = 300
GROWTH = 8.0
"""MiB by which a server may grow in the second half of its use."""

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def served(house: House) -> House:
    house.start()
    asyncio.run(_register(house))
    return house


async def _register(house: House) -> None:
    async with house.client() as dg:
        await dg.pipelines.register(house.pipeline(journalled("switch", "deploy", 0.2)))
        for number, program in enumerate(ENDS.values()):
            argv = json.dumps(["{env.python}", "-ISB", "-c", program])
            steps = step("strange", "build", f"run = {argv}")
            await dg.pipelines.register(house.pipeline(steps, service=f"strange-{number}"))


async def _create(house: House, dg: Client, service: str = "web") -> Deployment:
    wish = CreateDeployment(environment=Environment.STAGING, service=service, ref="main")
    return await house.deploy(dg, wish)


async def test_however_a_step_ends_the_other_lanes_go_on(served: House, observed: Observed) -> None:
    """R35: each is a failed step with a reason; the one beside them succeeds."""
    async with served.client() as dg:
        good, *strange = [
            await _create(served, dg, service)
            for service in ("web", *(f"strange-{number}" for number in range(len(ENDS))))
        ]
        assert (await truth.end_of(dg, good.id)).status is Status.SUCCESS
        ended = [await truth.end_of(dg, each.id) for each in strange]
        for each in ended:
            truth.nobody_is_left(served, each.id)
        await truth.books_are_in_order(served, dg)
    untold = [each for each in ended if each.status is not Status.FAILED or not each.reason]
    fault = "steps end by an exception, os._exit, recursion, no memory, signals"
    observed("R35", fault, "ends that were not told with a reason", len(untold), at_most=0)


async def test_wrong_settings_stop_the_next_start_and_not_the_server_that_runs(
    served: House, observed: Observed
) -> None:
    """R31: settings are read once; what is wrong is named, and a home is never half of two of them."""
    path = served.home.path / "server.toml"
    wrong = ('[server]\nport = "many"\n', "[server\n", "[unheard]\nof = 1\n", "\x00\xff")
    unnamed, started = 0, 0
    try:
        for text in wrong:
            path.write_bytes(text.encode("latin-1"))
            command = (sys.executable, "-P", "-m", "dg", "serve", "--home", str(served.home.path))
            run = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, env=environ(os.environ), timeout=60
            )
            started += run.returncode == 0
            unnamed += "server.toml" not in run.stderr or "Traceback" in run.stderr
            async with http(served) as client:
                assert (await client.get("/health")).json()["status"] == "ok"
    finally:
        path.unlink()
    fault = "server.toml is wrong in four ways"
    observed("R31", fault, "servers that started", started, at_most=0)
    observed("R31", fault, "refusals that do not name the file", unnamed, at_most=0)


async def test_a_hundred_hangups_leave_a_home_that_starts_again(served: House, observed: Observed) -> None:
    """R31: nothing is reloaded; whatever SIGHUP does to the server, the deployment goes on and is told."""
    async with served.client() as dg:
        running = await _create(served, dg)
    for _ in range(100):
        with contextlib.suppress(ProcessLookupError):
            os.kill(served.pid, signal.SIGHUP)
    served.kill()
    ready = await asyncio.to_thread(served.start)
    async with served.client() as dg:
        outcome = await truth.ended(served, dg, running.id)
        assert outcome.deployment.status is Status.SUCCESS
        await truth.books_are_in_order(served, dg)
    observed("R31", "SIGHUP, 100 times", "until it is ready again", ready, at_most=30.0, unit="s")


async def _use(house: House, dg: Client, times: int) -> None:
    """Reads, mistakes, WebSockets, and now and then a deployment."""
    url = f"{house.url.replace('http', 'ws')}/ws/deployments"
    async with http(house) as client:
        for number in range(times):
            await asyncio.gather(
                *(client.get(f"/v1/{what}") for what in ("deployments?limit=5", "lanes", "events?limit=5")),
                client.get("/v1/unheard-of"),
                client.post("/v1/deployments", json={"environment": "moon"}),
            )
            async with connect(url) as peer:
                await peer.send(json.dumps({"type": "auth", "token": house.token}))
            if number % 50 == 0:
                deployment = await _create(house, dg)
                await truth.end_of(dg, deployment.id)


async def test_use_leaves_nothing_behind(served: House, observed: Observed) -> None:
    """R27: after a warm-up memory, files and threads stay, whoever came and went."""
    fault = f"{6 * USES} operations, a sixth of them WebSockets, after as many to warm up"
    async with served.client() as dg:
        await _use(served, dg, USES)
        before = memory(served.pid), files(served.pid), threads(served.pid)
        await _use(served, dg, USES)
        with contextlib.suppress(TimeoutError):
            # What the clients closed a moment ago may not be closed here yet.
            await eventually(lambda: files(served.pid) <= before[1], 15.0)
        after = memory(served.pid), files(served.pid), threads(served.pid)
    observed("R27", fault, "growth", (after[0] - before[0]) / 2**20, at_most=GROWTH, unit="MiB")
    observed("R27", fault, "files more than before", after[1] - before[1], at_most=4)
    observed("R27", fault, "threads more than before", after[2] - before[2], at_most=1)
