"""`dg lane`, `dg freeze`, `dg thaw`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cli.conftest import ScriptedApi

from dg.cli.errors import ExitCode
from dg.cli.main import run

FREEZE = "01936b2e-7c00-7000-8000-00000000000f"
Captured = pytest.CaptureFixture[str]


def lane(state: str = "open", sentence: str = "web/staging is open", **changed: Any) -> dict[str, Any]:
    return {"service": "web", "environment": "staging", "state": state, "sentence": sentence, **changed}


def freeze(**changed: Any) -> dict[str, Any]:
    made = {
        "id": FREEZE,
        "reason": "sale",
        "by": "ana",
        "since": "2026-11-26T07:00:00Z",
        "until": "2026-11-26T09:00:00Z",
    }
    return {**made, **changed}


@pytest.mark.parametrize(
    ("arguments", "route", "body"),
    [
        (
            ["lock", "web", "staging", "--for", "2h", "--reason", "sale"],
            "lock",
            {"reason": "sale", "for": "2h"},
        ),
        (["unlock", "web", "stag", "--reason", "over"], "unlock", {"reason": "over"}),
        (["unlock", "web", "staging"], "unlock", {}),
    ],
)
def test_locking_prints_the_lanes_own_sentence(
    api: ScriptedApi, arguments: list[str], route: str, body: dict[str, Any], capsys: Captured
) -> None:
    api.on(f"POST /lanes/web/staging/{route}", lane("locked", "web/staging is locked until 09:00 UTC: sale"))
    assert run(["lane", *arguments]) == ExitCode.OK
    assert api.asked[0].body == body
    assert capsys.readouterr().out == "▲ web/staging is locked until 09:00 UTC: sale\n"


def test_show_and_list_tell_the_state(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /lanes/web/staging", lane())
    api.on(
        "GET /lanes",
        {"items": [lane(current_version="1.4.2", current_sha="9f1c2ab" + "0" * 33), lane("busy")]},
    )
    assert run(["lane", "show", "web", "staging"]) == ExitCode.OK
    assert run(["lane", "list", "--env", "staging"]) == ExitCode.OK
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "● web/staging is open"
    assert said[2].split() == ["web", "staging", "1.4.2", "(9f1c2ab)", "●", "open"]
    assert said[3].split() == ["web", "staging", "nothing", "yet", "↻", "busy"]
    assert api.asked[1].query == {"environment": "staging"}


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (["web"], {"service": "web"}),
        (["--env", "production"], {"environment": "production"}),
        (["web", "--env", "production"], {"service": "web", "environment": "production"}),
        (["--all"], {}),
    ],
)
def test_freeze_covers_what_was_named(
    api: ScriptedApi, arguments: list[str], body: dict[str, Any], capsys: Captured
) -> None:
    api.on("POST /freezes", freeze(**body), status=201)
    assert run(["freeze", *arguments, "--for", "2h", "--reason", "sale"]) == ExitCode.OK
    assert api.asked[0].body == {"reason": "sale", "for": "2h", **body}
    said = capsys.readouterr().out
    reach = {
        (): "every lane",
        ("service",): "every lane of web",
        ("environment",): "every lane of production",
    }
    assert said.startswith(
        f"▲ {reach.get(tuple(body), 'web/production')} is frozen until 2026-11-26 09:00:00 UTC: sale\n"
    )
    assert f"dg thaw {FREEZE}" in said


@pytest.mark.parametrize(
    "arguments", [[], ["web", "--all"], ["--env", "staging", "--all"], ["--all", "--for", "soon"]]
)
def test_a_freeze_without_a_clear_reach_is_misuse(api: ScriptedApi, arguments: list[str]) -> None:
    assert run(["freeze", "--for", "2h", "--reason", "sale", *arguments]) == ExitCode.USAGE
    assert api.asked == []


def test_thaw_lifts_one_or_all(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"POST /freezes/{FREEZE}/thaw", {"items": [freeze()]})
    api.on("POST /freezes/thaw", {"items": [freeze(), freeze()]}, {"items": []})
    assert [run(["thaw", FREEZE]), run(["thaw"]), run(["thaw"])] == [ExitCode.OK] * 3
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["✓", "✓", "✓", "nothing"]


def test_json_is_the_apis(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /lanes/web/staging", lane(queue=[FREEZE]))
    api.on("POST /freezes", freeze(), status=201)
    assert run(["lane", "show", "web", "staging", "--json"]) == ExitCode.OK
    assert run(["freeze", "--all", "--for", "1h", "--reason", "sale", "--json"]) == ExitCode.OK
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["queue"] == [FREEZE]
    assert second == freeze()
