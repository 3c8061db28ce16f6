"""`dg why`, `dg lane`, `dg freeze`, `dg thaw`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cli.conftest import ScriptedApi
from tests.client import samples

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


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("open", ExitCode.OK),
        ("busy", ExitCode.OK),
        ("locked", ExitCode.REFUSED),
        ("frozen", ExitCode.REFUSED),
    ],
)
def test_why_says_the_sentence_and_its_exit_code_whether_anything_is_taken(
    api: ScriptedApi, state: str, code: ExitCode, capsys: Captured
) -> None:
    api.on("GET /lanes/web/staging", lane(state, "the one sentence"))
    api.on("GET /lanes/web/staging/queue", {"items": []})
    assert run(["why", "web", "staging"]) == code
    assert capsys.readouterr().out.endswith(" the one sentence\n")


def test_why_lists_who_waits_and_when_they_start(api: ScriptedApi, capsys: Captured) -> None:
    waits = {"position": 1, "deployment": samples.deployment(hold="It waits for #3 (v1) in web/staging.")}
    api.on("GET /lanes/web/staging", lane())
    api.on(
        "GET /lanes/web/staging/queue",
        {"items": [{**waits, "estimated_start": "2026-11-26T08:00:00Z"}, {**waits, "position": 2}]},
    )
    assert run(["why", "web", "staging"]) == ExitCode.OK
    assert run(["why", "web", "staging", "--json"]) == ExitCode.OK
    _, first, second, as_json = capsys.readouterr().out.splitlines()
    assert first.startswith("1.")
    assert "about 2026-11-26 08:00:00 UTC" in first
    assert first.endswith("It waits for #3 (v1) in web/staging.")
    assert "about" not in second
    assert [one["position"] for one in json.loads(as_json)["queue"]] == [1, 2]


BLOCK = {
    "service": "web",
    "environment": "staging",
    "commit_sha": "9f1c2ab" + "0" * 33,
    "version": "1.4.2",
    "reason": "charged twice",
    "at": "2026-11-26T07:00:00Z",
}


def test_a_version_is_blocked_listed_and_unblocked(api: ScriptedApi, capsys: Captured) -> None:
    api.on("POST /lanes/web/staging/blocks", BLOCK, status=201)
    api.on("GET /lanes/web/staging/blocks", {"items": [BLOCK]}, {"items": []})
    api.on("POST /lanes/web/staging/blocks/9f1c2ab/lift", BLOCK)
    assert run(["lane", "block", "web", "staging", "1.4.2", "--reason", "charged twice"]) == ExitCode.OK
    assert run(["lane", "blocks", "web", "staging"]) == ExitCode.OK
    assert run(["lane", "unblock", "web", "staging", "9f1c2ab", "--reason", "not us"]) == ExitCode.OK
    assert run(["lane", "blocks", "web", "staging"]) == ExitCode.OK
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "▲ 1.4.2 (9f1c2ab) is blocked in web/staging"
    assert said[2].split() == ["1.4.2", "9f1c2ab00000", "2026-11-26", "07:00:00", "UTC", "charged", "twice"]
    assert said[3:] == ["✓ 1.4.2 (9f1c2ab) may come back to web/staging", "nothing is blocked in web/staging"]
    assert [asked.body for asked in api.asked if asked.method == "POST"] == [
        {"version": "1.4.2", "reason": "charged twice"},
        {"reason": "not us"},
    ]
