"""What Redocly, a linter that others judge OpenAPI by, has to say of the contracts: nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dg.api import contract

TOOLS = Path(__file__).parents[2] / "tools"
REDOCLY = TOOLS / "node_modules/.bin/redocly"
CONTRACTS = Path(contract.__file__).parent / "contracts"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not REDOCLY.exists(), reason="`npm ci --prefix tools` was not run"),
]


def lint(*files: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [REDOCLY, "lint", "--config", TOOLS / "redocly.yaml", "--format", "github-actions", *files],
        env={**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_redocly_finds_nothing() -> None:
    done = lint(*(CONTRACTS / f"{name}.yaml" for name in contract.NAMES))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("written", "instead", "rule"),
    [
        ("environment: production\n              service: shop", "environment: moon", "example"),
        ("required: [seq, at, text]", "required: [seq, moon]", "no-required-schema-properties-undefined"),
        ("summary: Get one deployment", "summary: ''", "operation-summary"),
        ("operationId: getLane\n", "operationId: getDeployment\n", "operation-operationId-unique"),
        ("- bearerAuth: []", "- moonAuth: []", "security-defined"),
    ],
)
def test_redocly_finds_a_mistake(written: str, instead: str, rule: str, tmp_path: Path) -> None:
    text = CONTRACTS.joinpath("deployment-automation-api.yaml").read_text("utf-8")
    assert written in text
    broken = tmp_path / "broken.yaml"
    broken.write_text(text.replace(written, instead, 1))
    done = lint(broken)
    assert done.returncode != 0
    assert rule in done.stdout + done.stderr
