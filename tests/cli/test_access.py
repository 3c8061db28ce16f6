"""`dg role`, `dg binding`, `dg can-i`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cli.conftest import ScriptedApi

from dg.cli.errors import ExitCode
from dg.cli.main import run

ID = "01936b2e-7c00-7000-8000-00000000000b"
Captured = pytest.CaptureFixture[str]


def role(**changed: Any) -> dict[str, Any]:
    return {
        "name": "releaser",
        "description": "Deploys.",
        "actions": ["deployment:create", "moon:land"],
        "given": False,
        **changed,
    }


def binding(**changed: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "subject": "clerk-role:admin",
        "role": "operator",
        "environment": "staging",
        "service": "web",
        "created_at": "2026-11-26T07:00:00Z",
        "created_by": "local",
        **changed,
    }


def test_roles_are_listed_and_shown_also_with_actions_that_this_dg_does_not_know(
    api: ScriptedApi, capsys: Captured
) -> None:
    api.on("GET /security/access/roles", {"items": [role(name="viewer", given=True), role()]})
    api.on("GET /security/access/roles/releaser", role())
    assert run(["role", "list"]) == ExitCode.OK
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in listed[1:]] == [["viewer", "given", "2"], ["releaser", "own", "2"]]
    assert run(["role", "show", "releaser"]) == ExitCode.OK
    assert "moon:land" in capsys.readouterr().out


def test_a_role_is_made_and_changed_by_its_actions(api: ScriptedApi, capsys: Captured) -> None:
    api.on("POST /security/access/roles", role(), status=201)
    api.on("POST /security/access/roles/releaser", role())
    assert run(["role", "create", "releaser", "deployment:create", "lane:lo"]) == ExitCode.OK
    assert run(["role", "edit", "releaser", "--add", "lane:lock", "--remove", "moon:land"]) == ExitCode.OK
    created, edited = (asked.body for asked in api.asked)
    assert created == {"name": "releaser", "description": "", "actions": ["deployment:create", "lane:lock"]}
    assert edited == {"add": ["lane:lock"], "remove": ["moon:land"]}
    assert "(own)" in capsys.readouterr().out


def test_a_role_is_deleted(api: ScriptedApi, capsys: Captured) -> None:
    api.on("POST /security/access/roles/releaser/delete", role())
    assert run(["role", "delete", "releaser"]) == ExitCode.OK
    assert capsys.readouterr().out == "deleted role releaser\n"


def test_a_binding_says_how_to_take_it_back(api: ScriptedApi, capsys: Captured) -> None:
    api.on("POST /security/access/bindings", binding(expires_at="2100-01-01T00:00:00Z"), status=201)
    arguments = [
        "clerk-role:admin",
        "oper",
        "--env",
        "stag",
        "--service",
        "web",
        "--until",
        "2100-01-01T00:00Z",
    ]
    assert run(["binding", "add", *arguments]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "clerk-role:admin is operator of web in staging until 2100-01-01 00:00:00 UTC" in said
    assert f"dg binding remove {ID}" in said
    assert api.asked[0].body == {
        "subject": "clerk-role:admin",
        "role": "operator",
        "environment": "staging",
        "service": "web",
        "expires_at": "2100-01-01T00:00:00Z",
    }


def test_bindings_are_listed_over_all_pages(api: ScriptedApi, capsys: Captured) -> None:
    pages = {"items": [binding()], "next_cursor": ID}, {"items": [binding(subject="clerk:user_1")]}
    api.on("GET /security/access/bindings", *pages)
    assert run(["binding", "list", "--role", "operator"]) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["WHO", "clerk-role:admin", "clerk:user_1"]
    assert [asked.query.get("cursor") for asked in api.asked] == [None, ID]


def test_a_binding_is_removed(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"POST /security/access/bindings/{ID}/revoke", binding(revoked_at="2026-11-26T07:00:00Z"))
    assert run(["binding", "remove", ID]) == ExitCode.OK
    assert capsys.readouterr().out == "removed: clerk-role:admin is no longer operator of web in staging\n"


@pytest.mark.parametrize(("allowed", "code"), [(True, ExitCode.OK), (False, ExitCode.FAILED)])
def test_can_i_ends_with_the_answer(
    api: ScriptedApi, capsys: Captured, allowed: bool, code: ExitCode
) -> None:
    decision = {
        "principal": "x",
        "name": "ana",
        "action": "lane:lock",
        "allowed": allowed,
        "why": "because",
        "roles": ["admin"],
    }
    api.on("GET /security/access/check", decision)
    asking = ["can-i", "lane:lock", "--env", "prod", "--service", "web", "--as", "clerk:user_1"]
    assert run(asking) == code
    assert capsys.readouterr().out.endswith(f"{'yes' if allowed else 'no'}: because\n")
    assert run([*asking, "--json"]) == code
    assert json.loads(capsys.readouterr().out)["allowed"] is allowed
    assert api.asked[0].query == {
        "action": "lane:lock",
        "environment": "production",
        "service": "web",
        "principal": "clerk:user_1",
    }
