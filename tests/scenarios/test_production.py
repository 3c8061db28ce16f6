"""A server in production with its key in a variable: what it starts with, and what its steps see of that."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.files import files_with
from tests.scenarios.house import House, step

from dg.core.deployments.models import CreateDeployment, Status
from dg.core.environments.models import Ciphertext
from dg.core.keys import fresh
from dg.core.types import Environment

KEY = fresh().strip()
VALUE = "correct-horse-battery"
SETTINGS = {"DG_SERVER__PRODUCTION": "true", "DG_KEYS__ENV": "THE_KEY"}
LOOK = """
import os
def look(pid):
    for name in ("environ", "cmdline"):
        try:
            print(pid, name, open(f"/proc/{pid}/{name}", "rb").read())
        except OSError as error:
            print(pid, name, error.strerror)
    try:
        for number in os.listdir(f"/proc/{pid}/fd"):
            try:
                where = os.readlink(f"/proc/{pid}/fd/{number}")
            except OSError:
                continue
            print(pid, number, where)
            if where.startswith("/") and os.path.isfile(where):
                print(open(where, "rb").read(65536))
    except OSError as error:
        print(pid, "fd", error.strerror)
look("self")
look(os.getppid())
print("looked", os.environ.get("THE_KEY"))
"""


@pytest.fixture
def production(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path, SETTINGS)
    try:
        yield house
    finally:
        house.close()


def test_a_server_in_production_says_why_it_does_not_start(production: House) -> None:
    for settings, said in (
        ({}, "the variable THE_KEY does not hold keys of 32 bytes"),
        ({"THE_KEY": "ab" * 32}, "holds a sample, not a random key"),
        ({"DG_KEYS__ENV": ""}, "envelope.key is not there"),
    ):
        production.settings = SETTINGS | settings
        production.launch()
        assert production.ends() != 0
        last = production.errors.splitlines()[-1]
        assert said in last
        assert "Traceback" not in production.errors


async def ran(house: House, tmp_path: Path, rest: str) -> str:
    """The log of a deployment with that one step, which has to go well."""
    (tmp_path / "dg.toml").write_text(house.pipeline(step("look", "deploy", rest)))
    assert house.dg("pipeline", "register", str(tmp_path / "dg.toml")).returncode == 0
    async with house.client() as dg:
        wish = CreateDeployment(service="web", environment=Environment.STAGING, ref="main", version="1")
        deployment = await house.deploy(dg, wish)
        statuses = [progress.deployment.status async for progress in dg.deployments.watch(deployment.id)]
        log = "".join([part.decode() async for part in dg.deployments.raw_logs(deployment.id)])
    assert statuses[-1] is Status.SUCCESS, log
    return log


def kept_with(house: House, text: str) -> list[Path]:
    """The files of a home in which a text stands, once its server is down."""
    house.stop()
    return files_with(house.home.path, text)


async def test_steps_see_nothing_of_the_key(production: House, tmp_path: Path) -> None:
    production.settings = SETTINGS | {"THE_KEY": KEY}
    look = tmp_path / "look.py"
    look.write_text(LOOK)
    python = shutil.which("python3")
    assert python
    production.repository.commit("good")
    production.start()
    log = await ran(production, tmp_path, f'run = ["{python}", "{look}"]')
    assert "looked None" in log
    assert KEY not in log
    assert_closed(production.pid)
    assert kept_with(production, KEY) == []
    assert KEY not in production.errors


async def test_what_only_the_runner_opens_is_nowhere_but_in_its_step(
    production: House, tmp_path: Path
) -> None:
    opens = {"DG_RUNNER__DECRYPT": "base64 -d", "DG_RUNNER__DECRYPT_ENV": "AGE_IDENTITY"}
    production.settings = SETTINGS | opens | {"THE_KEY": KEY, "AGE_IDENTITY": "an-identity"}
    production.repository.commit("good")
    production.start()
    async with production.client() as dg:
        text = Ciphertext(ciphertext=base64.b64encode(VALUE.encode()).decode())
        await dg.environments.set_secret(Environment.STAGING, "kube_token", text)
    script = 'echo "$KUBE_TOKEN"; printf "%s" "$KUBE_TOKEN" | wc -c; echo "${AGE_IDENTITY-unset}"'
    log = await ran(production, tmp_path, f'shell = {json.dumps(script)}\nsecrets = ["kube_token"]')
    assert [line for line in log.split() if line in {"***", "unset", str(len(VALUE))}] == [
        *("***", str(len(VALUE)), "unset")
    ]
    assert VALUE not in log
    assert kept_with(production, VALUE) == []
    assert VALUE not in production.errors


def assert_closed(pid: int) -> None:
    """Root reads everything; another process of the same user reads nothing."""
    if os.geteuid() == 0:
        return
    with pytest.raises(PermissionError):
        Path(f"/proc/{pid}/environ").read_bytes()
