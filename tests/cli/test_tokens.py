"""`dg token`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cli.conftest import ScriptedApi

from dg.cli.errors import ExitCode
from dg.cli.main import run

ID = "01936b2e-7c00-7000-8000-00000000000a"
Captured = pytest.CaptureFixture[str]


def token(**changed: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "name": "ci",
        "kind": "service",
        "grant": {"role": "operator", "environment": "staging", "service": "web"},
        "created_at": "2026-11-26T07:00:00Z",
        "created_by": "local",
        "expires_at": "2100-01-01T00:00:00Z",
        **changed,
    }


def test_the_secret_alone_is_on_standard_output(api: ScriptedApi, capsys: Captured) -> None:
    api.on("POST /tokens", {"token": token(), "secret": "the.sec.ret"}, status=201)
    arguments = ["--name", "ci", "--role", "oper", "--env", "staging", "--service", "web", "--ttl", "1d12h"]
    assert run(["token", "create", *arguments]) == ExitCode.OK
    said = capsys.readouterr()
    assert said.out == "the.sec.ret\n"
    assert "operator of web in staging" in said.err
    assert f"dg token revoke {ID}" in said.err
    asked = api.asked[0].body
    assert asked.pop("ttl") == 129_600
    assert asked == {
        "name": "ci",
        "role": "operator",
        "kind": "service",
        "environment": "staging",
        "service": "web",
    }


def test_a_list_has_no_secret_and_says_what_is_over(api: ScriptedApi, capsys: Captured) -> None:
    expired, revoked = token(expires_at="2000-01-01T00:00:00Z"), token(revoked_at="2026-11-26T07:00:00Z")
    api.on("GET /tokens", {"items": [token(), expired, revoked]})
    assert run(["token", "list"]) == ExitCode.OK
    said = capsys.readouterr().out.splitlines()
    assert "until 2100-01-01" in said[1]
    assert "expired" in said[2]
    assert "revoked" in said[3]


def test_revoke_names_what_it_withdrew(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"DELETE /tokens/{ID}", token(revoked_at="2026-11-26T07:00:00Z"))
    assert run(["token", "revoke", ID]) == ExitCode.OK
    assert run(["token", "revoke", ID, "--json"]) == ExitCode.OK
    words, printed = capsys.readouterr().out.splitlines()
    assert words == "revoked token ci"
    assert json.loads(printed)["revoked_at"] == "2026-11-26T07:00:00Z"


def test_a_token_of_somebody_says_whose_it_is(api: ScriptedApi, capsys: Captured) -> None:
    api.on("POST /tokens", {"token": token(kind="person"), "secret": "the.sec.ret"}, status=201)
    assert run(["token", "create", "--name", "laptop", "--role", "viewer", "--of", "ana"]) == ExitCode.OK
    assert capsys.readouterr().out == "the.sec.ret\n"
    assert api.asked[0].body == {"name": "laptop", "role": "viewer", "kind": "person", "person": "ana"}
