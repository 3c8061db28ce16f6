"""The contracts against the real server, from schemathesis: all phases, all checks, one seed.

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
from dg.api.server import listen
from dg.core.access.models import SYSTEM
from dg.core.home import Home
from dg.settings.tree import Server

CONFIG = Path(__file__).parent / "schemathesis.toml"
CONTRACTS = Path(contract.__file__).parent / "contracts"


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in contract.NAMES if contract.load(name)["paths"]])
async def test_no_request_breaks_the_contract(
    api: Api, name: str, tmp_path: Path, observed: Observed
) -> None:
    """R26: no request that can be thought of is answered with a 5xx, or in another form than promised."""
    await api.core.pipelines.register(SYSTEM, api.pipeline())
    # The owner's token stands in no list, so that no generated request can revoke it.
    token = Home(api.core.settings.home).owner_token.read_text().strip()
    async with listen(api.app, Server(port=0)) as server:
        run = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)),
            *("run", str(CONTRACTS / f"{name}.yaml"), "--url", f"{server.url}/v1"),
            *("--header", f"Authorization: Bearer {token}"),
            *("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "10"),
            *("--seed", "1", "--continue-on-failure"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        report, _ = await run.communicate()
        api.app.stop()
    assert run.returncode == 0, report.decode()
    made = re.search(r"(\d[\d,]*) generated", report.decode())
    assert made, report.decode()
    fault = f"{made[1]} made-up requests to {name}"
    observed("R26", fault, "answers that the contract does not promise", 0, at_most=0)
