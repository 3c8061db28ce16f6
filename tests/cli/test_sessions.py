"""`dg login`, `dg logout`, `dg whoami` and `dg session`, against a scripted server."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import ScriptedApi

from dg.cli.errors import ExitCode
from dg.cli.main import run
from dg.client.credentials import SessionFile

ID = "01936b2e-7c00-7000-8000-00000000000a"
PERSON = "01936b2e-7c00-7000-8000-00000000000b"
CODE = "/sessions/device/BCDF-GHJK"
Captured = pytest.CaptureFixture[str]

DEVICE = {
    "device_code": "dgd_secret",
    "user_code": "BCDF-GHJK",
    "hint": "dg session approve BCDF-GHJK",
    "interval": 0,
    "expires_in": 600,
}
LOGIN = {
    "id": ID,
    "name": "ana",
    "host": "laptop",
    "address": "203.0.113.9",
    "state": "pending",
    "asked_at": "2026-11-26T07:00:00Z",
    "expires_at": "2026-11-26T07:10:00Z",
}


def session(**changed: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "person": PERSON,
        "name": "ana",
        "host": "laptop",
        "address": "203.0.113.9",
        "grants": [{"role": "operator", "environment": "staging"}],
        "approved_by": "local",
        "created_at": "2026-11-26T07:00:00Z",
        "refreshed_at": "2026-11-26T07:00:00Z",
        "idle_at": "2099-11-29T07:00:00Z",
        "expires_at": "2100-01-01T00:00:00Z",
        **changed,
    }


TOKENS = {
    "access_token": "acc.ess.tok",
    "refresh_token": "dgr_secret",
    "expires_in": 600,
    "session": session(),
}


def no(status: int, reason: str, **details: object) -> tuple[int, dict[str, Any]]:
    error = {"code": "VALIDATION_ERROR", "message": "not yet", "details": {"reason": reason, **details}}
    return status, {"error": error}


@pytest.fixture
def file(api: ScriptedApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SessionFile:
    """Where the session at the scripted server is kept; nobody is signed in and no token is set."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("DG_TOKEN")
    found = SessionFile.of(os.environ["DG_URL"], os.environ)
    assert found is not None
    return found


@pytest.fixture
def signed_in(api: ScriptedApi, file: SessionFile, capsys: Captured) -> SessionFile:
    api.on("POST /sessions/device", DEVICE, status=201)
    api.on("POST /sessions/token", TOKENS)
    assert run(["login"]) == ExitCode.OK
    capsys.readouterr()
    return file


def answering(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Somebody sits at the terminal and types this."""
    stream = io.StringIO(text)
    monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin", stream)


# --- in and out


def test_login_shows_the_code_waits_and_keeps_the_session(
    api: ScriptedApi, file: SessionFile, capsys: Captured
) -> None:
    api.on("POST /sessions/device", DEVICE, status=201)
    api.answers["POST /sessions/token"] = [
        no(409, "authorization_pending", retry_after=0.01),
        no(409, "authorization_pending", retry_after=0.02),
        (200, TOKENS),
    ]
    assert run(["login", "--as", "Ana"]) == ExitCode.OK
    said = capsys.readouterr()
    assert "BCDF-GHJK" in said.err
    assert "dg session approve BCDF-GHJK" in said.err
    assert "as ana" in said.out
    assert "operator in staging" in said.out
    assert "secret" not in said.out + said.err
    assert api.asked[0].body["name"] == "Ana"
    assert [asked.body for asked in api.requests("POST /sessions/token")] == [
        {"device_code": "dgd_secret"}
    ] * 3
    kept = file.read()
    assert kept is not None
    assert (kept.access_token, kept.refresh_token) == ("acc.ess.tok", "dgr_secret")


def test_login_in_json_prints_what_to_approve_and_then_the_session(
    api: ScriptedApi, file: SessionFile, capsys: Captured
) -> None:
    api.on("POST /sessions/device", DEVICE, status=201)
    api.on("POST /sessions/token", TOKENS)
    assert run(["login", "--json"]) == ExitCode.OK
    said = capsys.readouterr()
    first, second = map(json.loads, said.out.splitlines())
    assert first == {"user_code": "BCDF-GHJK", "approve": "dg session approve BCDF-GHJK", "expires_in": 600}
    assert (second["id"], second["name"]) == (ID, "ana")
    assert "secret" not in said.out + said.err


def test_a_login_that_was_turned_away_keeps_nothing(
    api: ScriptedApi, file: SessionFile, capsys: Captured
) -> None:
    api.on("POST /sessions/device", DEVICE, status=201)
    api.answers["POST /sessions/token"] = [no(403, "access_denied")]
    assert run(["login"]) == ExitCode.REFUSED
    assert file.read() is None


def test_the_session_opens_the_server_for_the_next_command(
    api: ScriptedApi, signed_in: SessionFile, capsys: Captured
) -> None:
    who = {
        "id": PERSON,
        "name": "ana",
        "kind": "person",
        "method": "session",
        "grants": [{"role": "operator", "environment": "staging"}],
        "session": ID,
        "expires_at": "2100-01-01T00:00:00Z",
    }
    api.on("GET /whoami", who)
    assert run(["whoami"]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "ana (person) at" in said
    assert "signed in" in said
    assert "may: operator in staging" in said
    assert "until: 2100-01-01" in said
    assert run(["whoami", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == who


def test_logout_ends_the_session_there_and_here(
    api: ScriptedApi, signed_in: SessionFile, capsys: Captured
) -> None:
    api.on(f"POST /sessions/{ID}/revoke", session(revoked_at="2026-11-26T08:00:00Z"))
    assert run(["logout"]) == ExitCode.OK
    assert "signed out of" in capsys.readouterr().out
    assert len(api.requests(f"POST /sessions/{ID}/revoke")) == 1
    assert signed_in.read() is None
    assert run(["logout"]) == ExitCode.REFUSED
    assert "not signed in" in capsys.readouterr().err


def test_logout_of_a_session_that_is_over_forgets_it(
    api: ScriptedApi, signed_in: SessionFile, capsys: Captured
) -> None:
    api.answers[f"POST /sessions/{ID}/revoke"] = [no(401, "unauthenticated")]
    api.answers["POST /sessions/refresh"] = [no(401, "unauthenticated")]
    assert run(["logout"]) == ExitCode.OK
    assert signed_in.read() is None


def test_whoever_is_not_signed_in_is_told_how(api: ScriptedApi, file: SessionFile, capsys: Captured) -> None:
    assert run(["whoami"]) == ExitCode.REFUSED
    assert "dg login" in capsys.readouterr().err


# --- letting others in


def test_approve_shows_who_asks_before_it_asks(
    api: ScriptedApi, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.on(f"GET {CODE}", {**LOGIN, "name": "ana\x1b[2J"})
    api.on(f"POST {CODE}/approve", {**LOGIN, "state": "approved"})
    answering(monkeypatch, "y\n")
    arguments = ["--for", "ana", "--role", "oper", "--role", "approver", "--env", "prod"]
    assert run(["session", "approve", "BCDF-GHJK", *arguments]) == ExitCode.OK
    said = capsys.readouterr()
    assert "\x1b[2J" not in said.err
    assert "on laptop asks to be let in" in said.err
    assert "from: 203.0.113.9" in said.err
    assert "as: ana (operator in production, approver in production)" in said.err
    assert "let in: ana on laptop" in said.out
    [approved] = api.requests(f"POST {CODE}/approve")
    assert approved.body == {
        "person": "ana",
        "grants": [
            {"role": "operator", "environment": "production"},
            {"role": "approver", "environment": "production"},
        ],
    }


def test_a_no_approves_nothing(api: ScriptedApi, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    api.on(f"GET {CODE}", LOGIN)
    answering(monkeypatch, "n\n")
    assert run(["session", "approve", "BCDF-GHJK"]) == ExitCode.INTERRUPTED
    assert "as: yourself (all that you may in this session)" in capsys.readouterr().err
    assert not api.requests(f"POST {CODE}/approve")


def test_without_a_terminal_somebody_must_have_said_yes(
    api: ScriptedApi, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.on(f"GET {CODE}", LOGIN)
    api.on(f"POST {CODE}/approve", {**LOGIN, "state": "approved"})
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert run(["session", "approve", "BCDF-GHJK"]) == ExitCode.USAGE
    assert "--yes" in capsys.readouterr().err
    assert run(["session", "approve", "BCDF-GHJK", "--yes", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["state"] == "approved"
    assert api.requests(f"POST {CODE}/approve")[0].body == {"grants": []}


def test_deny_turns_away(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"POST {CODE}/deny", {**LOGIN, "state": "denied"})
    assert run(["session", "deny", "BCDF-GHJK"]) == ExitCode.OK
    assert capsys.readouterr().out == "turned away ana on laptop\n"


# --- who is signed in


def test_a_list_shows_what_is_open_and_with_all_what_is_over(api: ScriptedApi, capsys: Captured) -> None:
    over = session(idle_at="2000-11-27T07:00:00Z")
    revoked = session(revoked_at="2026-11-26T08:00:00Z", revoked_why="revoked")
    stolen = session(revoked_at="2026-11-26T08:00:00Z", revoked_why="reused")
    api.on("GET /sessions", {"items": [session(), over, revoked, stolen]})
    assert run(["session", "list"]) == ExitCode.OK
    [header, row] = capsys.readouterr().out.splitlines()
    assert header.split() == ["WHO", "HOST", "FROM", "MAY", "STATE", "USED", "ID"]
    assert "operator in staging" in row
    assert "until 2099-11-29" in row
    assert run(["session", "list", "--all"]) == ExitCode.OK
    rows = capsys.readouterr().out.splitlines()[1:]
    assert "over" in rows[1]
    assert "revoked" in rows[2]
    assert "its token was used twice" in rows[3]


def test_revoke_ends_one_or_all_of_a_person(api: ScriptedApi, capsys: Captured) -> None:
    other = session(id="01936b2e-7c00-7000-8000-00000000000c", name="ben")
    api.on("GET /sessions", {"items": [session(), other, session(idle_at="2000-11-27T07:00:00Z")]})
    api.on(f"POST /sessions/{ID}/revoke", session(revoked_at="2026-11-26T08:00:00Z"))
    assert run(["session", "revoke", ID]) == ExitCode.OK
    assert capsys.readouterr().out == "revoked session of ana on laptop\n"
    assert run(["session", "revoke", "--person", "ana", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["id"] == ID
    assert len(api.requests(f"POST /sessions/{ID}/revoke")) == 2
    assert run(["session", "revoke", "--person", "eve"]) == ExitCode.REFUSED
    assert run(["session", "revoke"]) == ExitCode.USAGE
    assert run(["session", "revoke", ID, "--person", "ana"]) == ExitCode.USAGE
