"""What the tests of `examples/` share: an example put into a repository, with addresses of this machine."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from tests.scenarios.house import House

DEPLOY_SECONDS = 120.0
"""Longest wait for a deployment's end: images are built and hosts logged in to beside other tests."""

EXAMPLES = Path(__file__).parents[2] / "examples"


def configured(text: str, **values: str) -> str:
    """A pipeline with other values: each `key = "…"` that is named, exactly one of it."""
    for key, value in values.items():
        line = re.compile(rf'^{key} = "[^"]*"', re.MULTILINE)
        assert len(line.findall(text)) == 1, f"{key} is not set once"
        text = line.sub(f"{key} = {json.dumps(value)}".replace("\\", r"\\"), text)
    return text


def adopt(house: House, example: str, **values: str) -> None:
    """Commit the example to the house's repository and register its pipeline with the house's server."""
    shutil.copytree(EXAMPLES / example, house.repository.path, dirs_exist_ok=True)
    house.repository.commit(f"Adopt {example}")
    text = (EXAMPLES / example / "dg.toml").read_text()
    # A check has to hold for a while among many users; here it is asked once.
    text = re.sub(
        r'for = "[0-9]+s"', 'for = "0s"', configured(text, git=str(house.repository.path), **values)
    )
    file = house.folder / "dg.toml"
    file.write_text(text)
    done = house.dg("pipeline", "register", str(file))
    assert done.returncode == 0, done.stderr.decode()


def deploy(house: House, ref: str = "main", service: str = "web") -> dict[str, Any]:
    """`dg deploy --wait` to production: the deployment as it ended, `exit` the command's code."""
    done = house.dg("deploy", service, ref, "--env", "production", "--wait", "--json", seconds=DEPLOY_SECONDS)
    assert done.stdout, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    house.deployments.add(found["id"])
    return {**found, "exit": done.returncode}


def logs(house: House, deployment: str = "latest") -> str:
    """What the steps of a deployment printed."""
    return house.dg("logs", deployment).stdout.decode()
