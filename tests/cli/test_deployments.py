"""`dg deploy`, `status`, `show`, `logs`, `cancel`, `rollback` as a user of the shell sees them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from tests.cli.conftest import ScriptedApi
from tests.client import samples

from dg.cli.errors import ExitCode
from dg.cli.main import run

ID = samples.ID
UNDOING = "01936b2e-7c00-7000-8000-000000000002"
Captured = pytest.CaptureFixture[str]


def step(index: int, name: str, phase: str, status: str, **changed: Any) -> dict[str, Any]:
    return {"index": index, "name": name, "phase": phase, "status": status, **changed}


def progress(status: str, *steps: dict[str, Any], **changed: Any) -> dict[str, Any]:
    whole = samples.deployment(status=status, started_at="2026-11-26T07:00:00Z", **changed)
    return {
        "id": whole["id"],
        "status": status,
        "progress": 50,
        "logs": ["one"],
        "steps": steps,
        "deployment": whole,
    }


def ended(status: str, **changed: Any) -> dict[str, Any]:
    return samples.deployment(
        status=status, started_at="2026-11-26T07:00:00Z", completed_at="2026-11-26T07:00:03Z", **changed
    )


def lane(**changed: Any) -> dict[str, Any]:
    return {
        "service": "web",
        "environment": "production",
        "state": "open",
        "sentence": "web/production is open",
        "current": ID,
        "current_version": "1.4.2",
        "current_sha": samples.SHA,
        **changed,
    }


def test_deploy_asks_for_what_was_said_and_names_the_next_command(api: ScriptedApi, capsys: Captured) -> None:
    api.on("POST /deployments", samples.deployment(hold="waits for #6"), status=201)
    code = run(
        [
            "deploy",
            "web",
            "main",
            "--env",
            "stag",
            "--version",
            "1.4.2",
            "--note",
            "why",
            "--at",
            "2030-01-01T00:00Z",
            "--until",
            "2030-01-01T01:00Z",
        ]
    )
    assert code == ExitCode.OK
    assert api.requests("POST /deployments")[0].body == {
        "environment": "staging",
        "service": "web",
        "ref": "main",
        "version": "1.4.2",
        "note": "why",
        "not_before": "2030-01-01T00:00:00Z",
        "expires_at": "2030-01-01T01:00:00Z",
    }
    said = capsys.readouterr().out
    assert "web 1.4.2 → staging is pending · waits for #6" in said
    late = samples.deployment(not_before="2030-01-01T00:00:00Z")
    api.on("POST /deployments", late, status=201)
    assert run(["deploy", "web", "main", "--env", "staging", "--at", "2030-01-01T00:00Z"]) == ExitCode.OK
    assert "is pending · starts at 2030-01-01 00:00:00 UTC" in capsys.readouterr().out
    assert f"dg logs {ID} -f" in said


def test_deploy_says_what_a_new_one_waits_for(api: ScriptedApi, capsys: Captured) -> None:
    api.on("POST /deployments", samples.deployment(), status=201)
    api.on(f"GET /deployments/{ID}", samples.deployment(hold="It waits for one approval."))
    assert run(["deploy", "web", "main", "--env", "staging"]) == ExitCode.OK
    assert "is pending · It waits for one approval." in capsys.readouterr().out


def test_a_key_is_sent_as_it_was_given(api: ScriptedApi, capsys: Captured) -> None:
    api.on("POST /deployments", samples.deployment(), status=201)
    assert run(["deploy", "web", "main", "--env", "staging", "--key", "job-17/2"]) == ExitCode.OK
    assert api.requests("POST /deployments")[0].key == "job-17/2"
    for bad in ("", "two words", "schlüssel", 'a"b', "x" * 256):
        assert run(["deploy", "web", "main", "--env", "staging", "--key", bad]) == ExitCode.USAGE
    assert "visible ASCII characters" in capsys.readouterr().err
    assert len(api.requests("POST /deployments")) == 1


def test_waiting_prints_a_line_for_each_fact_and_no_cursor_codes(api: ScriptedApi, capsys: Captured) -> None:
    api.on("POST /deployments", samples.deployment(), status=201)
    image = step(0, "image", "build", "running")
    done = step(0, "image", "build", "success", seconds=1.25)
    api.on(
        f"GET /deployments/{ID}/status",
        progress("pending"),
        progress("building", image),
        progress("building", image),
        progress("success", done, completed_at="2026-11-26T07:00:03Z"),
    )
    assert run(["deploy", "web", "main", "--env", "staging", "--wait"]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert said.splitlines() == [
        "web 1.4.2 (9f1c2ab) → staging #7",
        "· pending",
        "↻ building",
        "↻ image running",
        "✓ image success 1.2 s",
        "✓ web 1.4.2 runs in staging after 3.0 s",
    ]


def test_a_failure_is_followed_to_the_end_of_its_rollback(api: ScriptedApi, capsys: Captured) -> None:
    message = "smoke failed: got 500"
    api.on("POST /deployments", samples.deployment(), status=201)
    failed = ended("failed", message=message, reason="verify_failed")
    api.on(f"GET /deployments/{ID}/status", {**progress("failed"), "deployment": failed})
    undoing = ended("success", id=UNDOING, kind="rollback", rollback_of=ID, version="1.4.1", number=8)
    api.on("GET /deployments", {"items": [undoing, failed]})
    api.on(
        f"GET /deployments/{UNDOING}/status", {**progress("success"), "id": UNDOING, "deployment": undoing}
    )
    api.on(f"GET /deployments/{ID}", {**failed, "status": "rolled_back", "rolled_back_by": UNDOING})
    assert run(["deploy", "web", "main", "--env", "staging", "--wait"]) == ExitCode.FAILED
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "↩ web 1.4.2 failed in staging: smoke failed: got 500",
        "✓ web 1.4.1 runs again in staging after 3.0 s",
    ]


def test_json_of_a_watched_deployment_is_one_object(api: ScriptedApi, capsys: Captured) -> None:
    api.on("POST /deployments", samples.deployment(), status=201)
    api.on(f"GET /deployments/{ID}/status", {**progress("success"), "deployment": ended("success")})
    assert run(["--json", "deploy", "web", "main", "--env", "staging", "--wait"]) == ExitCode.OK
    printed = json.loads(capsys.readouterr().out)
    assert (printed["id"], printed["status"], printed["completed_at"]) == (
        ID,
        "success",
        "2026-11-26T07:00:03Z",
    )


def test_a_closed_lane_is_told_with_its_own_sentence(api: ScriptedApi, capsys: Captured) -> None:
    sentence = "web/production is locked until 09:00 UTC: sale (by ana). An admin can open it: dg lane unlock"
    api.on(
        "POST /deployments", samples.envelope("VALIDATION_ERROR", sentence, reason="lane_closed"), status=409
    )
    assert run(["deploy", "web", "main", "--env", "production"]) == ExitCode.REFUSED
    assert capsys.readouterr().err == f"dg: {sentence}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["deploy", "web", "main"],
        ["deploy", "web", "main", "--env", "moon"],
        ["deploy", "web", "main", "--env", ""],
        ["deploy", "web", "main", "--env", "staging", "--at", "someday"],
        ["deploy", "web", " ", "--env", "staging"],
        ["deploy", "web", "main", "--env", "staging", "--note", "x" * 501],
        ["logs", "latest", "--raw", "--json"],
    ],
)
def test_misuse_ends_with_2_and_asks_nothing(
    api: ScriptedApi, arguments: list[str], capsys: Captured
) -> None:
    assert run(arguments) == ExitCode.USAGE
    assert capsys.readouterr().err
    assert api.asked == []


def test_an_empty_ref_is_called_empty(api: ScriptedApi, capsys: Captured) -> None:
    assert run(["deploy", "web", "", "--env", "staging"]) == ExitCode.USAGE
    assert capsys.readouterr().err == "dg: ref must not be empty\n"
    assert api.asked == []


def test_no_server_ends_with_4(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("DG_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("DG_TOKEN", "tok.en")
    assert run(["status"]) == ExitCode.UNREACHABLE
    assert "http://127.0.0.1:1 cannot be reached" in capsys.readouterr().err


def test_status_shows_every_lane_and_what_is_under_way(api: ScriptedApi, capsys: Captured) -> None:
    locked = lane(environment="staging", state="locked", sentence="web/staging is locked until 09:00 UTC")
    api.on("GET /lanes", {"items": [lane(), locked, lane(environment="development", known=False)]})
    api.on(f"GET /deployments/{ID}", ended("success"))
    api.on("GET /deployments", {"items": [samples.deployment(number=9, hold="waits")]})
    assert run(["status", "web", "--env", "prod"]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "1.4.2 (9f1c2ab)" in said
    assert "● open" in said
    assert "▲ web/staging is locked until 09:00 UTC" in said
    assert "not known" in said
    assert "· pending" in said
    assert api.requests("GET /lanes")[0].query == {"service": "web", "environment": "production"}
    assert api.requests("GET /deployments")[0].query["filter"] == "status=pending,building,deploying"


def test_status_as_json_is_one_object(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /lanes", {"items": [lane()]})
    api.on(f"GET /deployments/{ID}", ended("success"))
    api.on("GET /deployments", {"items": [samples.deployment(number=9)]})
    assert run(["status", "--json"]) == ExitCode.OK
    printed = json.loads(capsys.readouterr().out)
    assert [each["state"] for each in printed["lanes"]] == ["open"]
    assert [each["number"] for each in printed["deployments"]] == [9]


def test_an_empty_server_says_how_to_begin(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /lanes", {"items": []})
    api.on("GET /deployments", {"items": []})
    assert run(["status"]) == ExitCode.OK
    assert "dg init" in capsys.readouterr().out


def test_show_tells_everything_about_the_latest(api: ScriptedApi, capsys: Captured) -> None:
    failed = ended(
        "failed", reason="verify_failed", message="smoke got 500", note="try", created_by_name="Ana"
    )
    steps = [
        step(0, "migrate", "deploy", "success", seconds=1.0, reversible=False),
        step(1, "smoke", "verify", "failed", seconds=2.0, detail="got 500"),
    ]
    commit = {"sha": samples.SHA, "author": "Ana", "subject": "Fix it", "at": "2026-11-26T06:00:00Z"}
    api.on("GET /deployments", {"items": [failed]})
    api.on(f"GET /deployments/{ID}", failed)
    api.on(f"GET /deployments/{ID}/status", {**progress("failed", *steps), "deployment": failed})
    api.on(
        f"GET /deployments/{ID}/changes",
        {"head": samples.SHA, "total": 12, "commits": [commit], "leaving": [commit]},
    )
    assert run(["show", "latest"]) == ExitCode.OK
    said = capsys.readouterr().out
    for words in (
        "✗ web 1.4.2 failed in staging: smoke got 500",
        "verify failed",
        "migrate (cannot be undone)",
        "got 500",
        "asked by",
        "+  9f1c2ab  Fix it (Ana)",
        "and 11 more",
        "-  9f1c2ab  Fix it (Ana)",
        "2026-11-26 07:00:03 UTC, after 3.0 s",
    ):
        assert words in said


def lines(*texts: str, first: int = 0, complete: bool = False, left_out: int = 0) -> dict[str, Any]:
    items = [
        {"seq": first + n, "at": "2026-11-26T07:00:00Z", "step": 0, "text": text}
        for n, text in enumerate(texts)
    ]
    return {"items": items, "next_seq": first + len(items), "left_out": left_out, "complete": complete}


def test_logs_are_followed_to_their_end(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"GET /deployments/{ID}", samples.deployment())
    api.on(
        f"GET /deployments/{ID}/logs",
        lines("a\tb"),
        lines("c", first=9, left_out=8),
        lines(first=10, complete=True),
    )
    assert run(["logs", ID, "-f"]) == ExitCode.OK
    assert capsys.readouterr().out == "a       b\n… 8 lines left out …\nc\n"


def test_logs_as_json_are_one_object_a_line(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"GET /deployments/{ID}", samples.deployment())
    api.on(f"GET /deployments/{ID}/logs", lines("a", "b", complete=True))
    assert run(["logs", ID, "--json", "--after", "3"]) == ExitCode.OK
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["text"] for line in printed] == ["a", "b"]
    assert api.requests(f"GET /deployments/{ID}/logs")[0].query["after"] == "3"


def test_no_escape_of_a_log_reaches_the_terminal(api: ScriptedApi, capsys: Captured) -> None:
    hostile = "\x1b]0;title\x07\x1b[2J\x9b31m\u202eevil\r"
    api.on(f"GET /deployments/{ID}", samples.deployment(version=hostile))
    api.on(f"GET /deployments/{ID}/logs", lines(hostile, complete=True))
    assert run(["logs", ID]) == ExitCode.OK
    api.on("POST /deployments", samples.deployment(version=hostile, hold=hostile), status=201)
    assert run(["deploy", "web", "main", "--env", "staging"]) == ExitCode.OK
    said = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\r"} & set(said)
    assert "evil" in said


def test_the_raw_log_is_the_very_bytes(api: ScriptedApi) -> None:
    raw = b"\x1b[31mred\xff\r\nend"
    api.on(f"GET /deployments/{ID}", samples.deployment())
    api.on(f"GET /deployments/{ID}/logs", raw)
    done = subprocess.run([sys.executable, "-m", "dg", "logs", ID, "--raw"], capture_output=True, check=True)
    assert done.stdout == raw


def test_cancel_says_whether_it_has_stopped(api: ScriptedApi, capsys: Captured) -> None:
    api.on(
        f"POST /deployments/{ID}/cancel", samples.deployment(status="deploying"), ended("failed"), status=202
    )
    assert run(["cancel", ID, "--then-rollback", "--reason", "bad"]) == ExitCode.OK
    assert run(["cancel", ID]) == ExitCode.OK
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("stopping web 1.4.2")
    assert second.startswith("cancelled web 1.4.2")
    assert api.asked[0].body == {"then_rollback": True, "reason": "bad"}


def test_rollback_asks_for_the_lane(api: ScriptedApi, capsys: Captured) -> None:
    api.on("POST /lanes/web/production/rollback", samples.deployment(kind="rollback"), status=201)
    code = run(
        [
            "rollback",
            "web",
            "--env",
            "production",
            "--to",
            UNDOING,
            "--override",
            "outage",
            "--cross-irreversible",
        ]
    )
    assert code == ExitCode.OK
    assert api.asked[0].body == {"target": UNDOING, "override": "outage", "cross_irreversible": True}


def test_deploy_may_name_the_commit_that_was_seen_running(api: ScriptedApi) -> None:
    api.on("POST /deployments", samples.deployment(), status=201)
    assert run(["deploy", "web", "main", "--env", "staging", "--base", "9F1C2AB"]) == ExitCode.OK
    (asked,) = api.requests("POST /deployments")
    assert asked.body == {"service": "web", "ref": "main", "environment": "staging", "base_sha": "9f1c2ab"}


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("7", {"filter": "number=7", "limit": "2"}),
        ("#7", {"filter": "number=7", "limit": "2"}),
        ("01936b2e", {"filter": "id=01936b2e", "limit": "2"}),
        ("latest", {"limit": "2"}),
    ],
)
def test_a_deployment_is_named_in_short(api: ScriptedApi, name: str, query: dict[str, str]) -> None:
    api.on("GET /deployments", {"items": [samples.deployment()]})
    api.on(f"POST /deployments/{samples.ID}/cancel", samples.deployment(status="building"), status=202)
    assert run(["cancel", name]) == ExitCode.OK
    assert api.requests("GET /deployments")[0].query == query


def test_a_beginning_of_several_ids_is_refused(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /deployments", {"items": [samples.deployment(), samples.deployment()]})
    assert run(["show", "0193"]) != ExitCode.OK
    assert "several deployments have an id that begins with 0193" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["v1.4.2", "0", "#", "-x", "1 2"])
def test_what_names_no_deployment_is_not_asked_for(api: ScriptedApi, name: str) -> None:
    api.on("GET /deployments", {"items": []})
    assert run(["cancel", "--", name]) != ExitCode.OK
    assert not api.requests(f"POST /deployments/{name}/cancel")


def test_a_number_that_there_is_not_is_said(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /deployments", {"items": []})
    assert run(["show", "99"]) != ExitCode.OK
    assert "there is no deployment 99" in capsys.readouterr().err
