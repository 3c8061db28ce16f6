"""The contracts against server and mock, from schemathesis: made-up requests, all checks, fixed seeds.

`schemathesis.toml` says which answers to a valid request are honest, and why.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest
from tests.api.conftest import Api
from tests.observed import Observed

from dg.api import contract
from dg.api.app import App
from dg.api.mock import Mock
from dg.api.server import listen
from dg.core.access.models import SYSTEM
from dg.core.home import Home
from dg.settings.server import Server

CONFIG = Path(__file__).parent / "schemathesis.toml"
CONTRACTS = Path(contract.__file__).parent / "contracts"
EVERY = "examples,coverage,fuzzing,stateful"
QUICK = "examples,coverage"
"""The contract's own examples, and each bound of each schema from both sides."""

named = pytest.mark.parametrize("name", [name for name in contract.NAMES if contract.load(name)["paths"]])


async def try_out(
    app: App | Mock, name: str, token: str, phases: str, seed: int, cwd: Path, *unchecked: str
) -> str:
    """Send made-up requests to every operation of a contract, and give their number."""
    async with listen(app, Server(port=0)) as server:
        run = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)),
            *("run", str(CONTRACTS / f"{name}.yaml"), "--url", f"{server.url}/v1"),
            *("--header", f"Authorization: Bearer {token}"),
            *("--phases", phases, "--max-examples", "10", "--seed", str(seed), "--continue-on-failure"),
            *(f"--exclude-checks={check}" for check in unchecked),
            cwd=cwd,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        report, _ = await run.communicate()
        app.stop()
    assert run.returncode == 0, report.decode()
    made = re.search(r"(\d[\d,]*) generated", report.decode())
    assert made, report.decode()
    return made[1]


async def token_of(api: Api) -> str:
    """The owner's, which stands in no list, so that no generated request can revoke it."""
    await api.core.pipelines.register(SYSTEM, api.pipeline())
    return Home(api.core.settings.home).owner_token.read_text().strip()


@named
async def test_no_bound_of_a_contract_is_kept_otherwise(api: Api, name: str, tmp_path: Path) -> None:
    await try_out(api.app, name, await token_of(api), QUICK, 1, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", [2, 3])
@named
async def test_no_request_breaks_the_contract(
    api: Api, name: str, seed: int, tmp_path: Path, observed: Observed
) -> None:
    """R26: no request that can be thought of is answered with a 5xx, or in another form than promised."""
    made = await try_out(api.app, name, await token_of(api), EVERY, seed, tmp_path)
    fault = f"{made} made-up requests to {name}"
    observed("R26", fault, "answers that the contract does not promise", 0, at_most=0)


@pytest.mark.long
@named
async def test_no_request_breaks_the_mock(name: str, tmp_path: Path) -> None:
    mock = Mock(map(contract.load, contract.NAMES), Server())
    # Any token opens a mock.
    await try_out(mock, name, "anything", EVERY, 1, tmp_path, "ignored_auth")
