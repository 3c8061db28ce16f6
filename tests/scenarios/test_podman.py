"""The container recipe's way of running, in podman: a stop waits for the deployments and then takes a moment.

`DG_TEST_PODMAN` names the command to use instead of `podman`. Nothing is pulled: the image is this machine's
own system, mounted read-only.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scenarios import truth
from tests.scenarios.house import House, report, until
from tests.scenarios.test_drain import begun, deploy, pipeline

from dg.core.deployments.models import Status

pytestmark = pytest.mark.long

PODMAN = shlex.split(os.environ.get("DG_TEST_PODMAN", "podman"))
SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc")
TREE = Path(__file__).parents[2]


def run_options(folder: Path, name: str) -> list[str]:
    """As the recipe runs it (`--init`, time to stop), on this machine's system and network."""
    root = folder / "root"
    for mounted in ("proc", "sys", "dev", "tmp", "run", *(path.lstrip("/") for path in SYSTEM)):
        (root / mounted).mkdir(parents=True, exist_ok=True)
    readable = {*SYSTEM, str(TREE), sys.prefix, sys.base_prefix}
    mounts = [f"--volume={path}:{path}:ro" for path in sorted(readable) if Path(path).is_dir()]
    return [
        *("run", "--rm", f"--name={name}", "--init", "--stop-timeout=60", "--env-host", "--network=host"),
        *mounts,
        f"--volume={folder}:{folder}",
        *("--rootfs", str(root)),
    ]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[House, str]]:
    """A server in a container, and the container's name."""
    name = f"dg-test-{os.getpid()}"
    options = run_options(tmp_path, name)
    try:
        tried = subprocess.run([*PODMAN, *options, "/bin/true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("podman is not on this machine")
    if tried.returncode:
        pytest.skip(f"podman runs no container here: {tried.stderr.strip()[-300:]}")
    house = House(tmp_path, {"DG_SERVER__DRAIN": "50s"}, [*PODMAN, *options])
    house.start()
    try:
        yield house, name
    finally:
        subprocess.run([*PODMAN, "rm", "--force", "--time=0", name], capture_output=True, check=False)
        house.close()


async def test_a_stop_of_the_container_waits_for_its_deployment(
    house: tuple[House, str], tmp_path: Path
) -> None:
    server, name = house
    go = tmp_path / "go"
    async with server.client() as dg:
        await dg.pipelines.register(pipeline(server, go))
        running = await deploy(server, dg)
        await begun(server, running)
    stop = await asyncio.create_subprocess_exec(*PODMAN, "stop", name, stdout=asyncio.subprocess.DEVNULL)
    await asyncio.to_thread(until, lambda: "told to stop" in server.errors, "the server to say so")
    async with server.client() as dg:
        assert (await dg.deployments.get(running.id)).status is Status.DEPLOYING
    go.touch()
    began = time.monotonic()
    await asyncio.to_thread(server.leaves)
    took = time.monotonic() - began
    assert await stop.wait() == 0
    await asyncio.to_thread(server.start)
    async with server.client() as dg:
        assert (await truth.end_of(dg, running.id)).status is Status.SUCCESS
    report(f"podman stop waited for the deployment and then took {took:.1f} s")
