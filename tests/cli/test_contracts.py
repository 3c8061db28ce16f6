"""`dg contracts`: the documents that tools and gateways are given."""

from __future__ import annotations

import json

import pytest
import yaml

from dg.api import contract
from dg.cli.errors import ExitCode
from dg.cli.main import run


def test_validate_counts_what_it_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["contracts", "validate"]) == ExitCode.OK
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[2] for row in rows] == list(contract.NAMES)
    assert all(int(row[4]) > 0 for row in rows)


def test_validate_names_what_is_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = contract.load("platform-api")
    broken = {**whole, "paths": {"/moon": {"get": {"operationId": "getMoon", "responses": {}}}}}
    monkeypatch.setattr(contract, "load", lambda name: broken if name == "platform-api" else whole)
    assert run(["contracts", "validate"]) == ExitCode.FAILED
    assert "platform-api GET /moon: has no summary\n" in capsys.readouterr().out
    assert run(["contracts", "validate", "--json"]) == ExitCode.FAILED
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"contract": "platform-api", "where": "GET /moon", "sentence": "has no summary"} in found


def test_bundle_prints_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["contracts", "bundle"]) == ExitCode.OK
    written = yaml.safe_load(capsys.readouterr().out)
    assert {"/deployments", "/health"} <= written["paths"].keys()
    assert run(["contracts", "bundle", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == written


def test_bundle_takes_the_contracts_that_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["contracts", "bundle", "platform-api", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["paths"] == contract.load("platform-api")["paths"]
    assert run(["contracts", "bundle", "moon-api"]) == ExitCode.USAGE
    assert "there is no contract 'moon-api'; there are deployment-automation-api" in capsys.readouterr().err


def test_gateway_prints_the_specification_s_shape(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["contracts", "gateway"]) == ExitCode.OK
    text = capsys.readouterr().out
    assert text.startswith(
        "api_gateway:\n"
        "  routes:\n"
        "    - path: /v1/deployments\n"
        "      service: deployment-service\n"
        "      methods: [GET, POST, PUT, DELETE]\n"
    )
    assert run(["contracts", "gateway", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == yaml.safe_load(text)


def test_docs_prints_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["contracts", "docs"]) == ExitCode.OK
    text = capsys.readouterr().out
    assert text.startswith("# API reference\n")
    assert "### createDeployment\n" in text
    assert run(["contracts", "docs", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["markdown"] == text
