"""`dg key`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import ScriptedApi

from dg.cli.errors import ExitCode
from dg.cli.main import run

ID = "01936b2e-7c00-7000-8000-00000000000a"
ROOT = "/security/access/keys"
SECRET = "dgk_stg_Zq0000000000000000000000000000aa_000000"
Captured = pytest.CaptureFixture[str]


def key(**changed: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "name": "ci",
        "scopes": [{"role": "operator", "environment": "staging", "service": "web"}],
        "addresses": [],
        "created_at": "2026-11-26T07:00:00Z",
        "created_by": "local",
        "expires_at": "2100-01-01T00:00:00Z",
        "secrets": [
            {
                "begins": "dgk_stg_Zq00000000",
                "created_at": "2026-11-26T07:00:00Z",
                "until": "2100-01-01T00:00:00Z",
            }
        ],
        **changed,
    }


def rotated() -> dict[str, Any]:
    old, fresh = key()["secrets"][0], "2026-11-27T07:00:00Z"
    return key(
        secrets=[
            {**old, "until": "2026-11-28T07:00:00Z"},
            {"begins": "dgk_stg_New0000000", "created_at": fresh, "until": "2100-01-01T00:00:00Z"},
        ]
    )


def test_the_secret_alone_is_on_standard_output(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"POST {ROOT}", {"key": key(), "secret": SECRET}, status=201)
    arguments = ["--name", "ci", "--role", "oper", "--env", "staging", "--service", "web", "--ttl", "1d12h"]
    assert run(["key", "create", *arguments]) == ExitCode.OK
    said = capsys.readouterr()
    assert said.out == f"{SECRET}\n"
    assert "operator on web/staging" in said.err
    assert f"dg key revoke {ID}" in said.err
    assert api.asked[0].body == {
        "name": "ci",
        "scopes": [{"role": "operator", "environment": "staging", "service": "web"}],
        "ttl": 129_600,
    }


def test_each_action_goes_with_each_place(api: ScriptedApi) -> None:
    api.on(f"POST {ROOT}", {"key": key(), "secret": SECRET}, status=201)
    what = ["--can", "deployment:create", "--can", "lane:read", "--role", "viewer"]
    where = ["--env", "prod", "--service", "api", "--service", "web", "--from", "192.0.2.0/24"]
    assert run(["key", "create", "--name", "ci", *what, *where]) == ExitCode.OK
    asked = api.asked[0].body
    assert asked["addresses"] == ["192.0.2.0/24"]
    assert asked["scopes"] == [
        {**each, "environment": "production", "service": service}
        for each in ({"role": "viewer"}, {"action": "deployment:create"}, {"action": "lane:read"})
        for service in ("api", "web")
    ]


def test_a_key_may_something_or_is_none(api: ScriptedApi, capsys: Captured) -> None:
    assert run(["key", "create", "--name", "ci"]) == ExitCode.USAGE
    assert "--role ROLE or --can ACTION" in capsys.readouterr().err
    assert api.asked == []


def test_a_secret_goes_into_a_private_file_of_its_own(
    api: ScriptedApi, capsys: Captured, tmp_path: Path
) -> None:
    api.on(f"POST {ROOT}", {"key": key(), "secret": SECRET}, status=201)
    out = tmp_path / "ci.key"
    arguments = ["key", "create", "--name", "ci", "--role", "viewer", "--out", str(out)]
    old = os.umask(0)
    try:
        assert run([*arguments, "--json"]) == ExitCode.OK
    finally:
        os.umask(old)
    assert out.read_text() == f"{SECRET}\n"
    assert out.stat().st_mode & 0o777 == 0o600
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err
    assert json.loads(said.out)["id"] == ID
    assert run(arguments) == ExitCode.REFUSED
    assert "File exists" in capsys.readouterr().err
    assert len(api.asked) == 1


def test_a_link_is_not_followed_and_a_refusal_leaves_no_file(
    api: ScriptedApi, capsys: Captured, tmp_path: Path
) -> None:
    error = {"error": {"code": "UNAUTHORIZED", "message": "no", "details": {"reason": "forbidden"}}}
    api.on(f"POST {ROOT}", error, status=403)
    link, out = tmp_path / "link", tmp_path / "out"
    link.symlink_to(tmp_path / "target")
    arguments = ["key", "create", "--name", "ci", "--role", "viewer", "--out"]
    assert run([*arguments, str(link)]) == ExitCode.REFUSED
    assert run([*arguments, str(out)]) == ExitCode.REFUSED
    assert [path.name for path in tmp_path.iterdir()] == ["link"]
    capsys.readouterr()


def test_a_rotation_says_until_when_the_old_secret_goes_on(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"POST {ROOT}/{ID}/rotate", {"key": rotated(), "secret": SECRET})
    assert run(["key", "rotate", ID, "--overlap", "1d", "--ttl", "30d"]) == ExitCode.OK
    said = capsys.readouterr()
    assert said.out == f"{SECRET}\n"
    assert "dgk_stg_Zq00000000… goes on until 2026-11-28" in said.err
    assert api.asked[0].body == {"overlap": 86_400, "ttl": 2_592_000}


def test_an_overlap_of_nothing_is_said(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"POST {ROOT}/{ID}/rotate", {"key": rotated(), "secret": SECRET})
    assert run(["key", "rotate", ID, "--overlap", "0s"]) == ExitCode.OK
    assert api.asked[0].body == {"overlap": 0}
    capsys.readouterr()


def test_a_list_shows_beginnings_and_what_is_over(api: ScriptedApi, capsys: Captured) -> None:
    expired, revoked = key(expires_at="2000-01-01T00:00:00Z"), key(revoked_at="2026-11-26T07:00:00Z")
    narrow = key(addresses=["192.0.2.0/24"], scopes=[{"action": "lane:read"}, {"role": "viewer"}])
    api.on(f"GET {ROOT}", {"items": [narrow, expired, revoked]})
    assert run(["key", "list"]) == ExitCode.OK
    said = capsys.readouterr().out.splitlines()
    assert "lane:read, viewer" in said[1]
    assert "192.0.2.0/24" in said[1]
    assert "dgk_stg_Zq00000000…" in said[1]
    assert "until 2100-01-01" in said[1]
    assert "expired" in said[2]
    assert "anywhere" in said[2]
    assert "revoked" in said[3]


def test_revoke_names_what_it_withdrew(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"POST {ROOT}/{ID}/revoke", key(revoked_at="2026-11-26T07:00:00Z"))
    assert run(["key", "revoke", ID]) == ExitCode.OK
    assert run(["key", "revoke", ID, "--json"]) == ExitCode.OK
    words, printed = capsys.readouterr().out.splitlines()
    assert words == "revoked key ci"
    assert json.loads(printed)["revoked_at"] == "2026-11-26T07:00:00Z"
