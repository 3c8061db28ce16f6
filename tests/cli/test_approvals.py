"""`dg approve`, `reject`, `override`, `diff`, and what `show` and `status` tell of gates."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
from tests.cli.conftest import ScriptedApi
from tests.client import samples

from dg.cli import approvals
from dg.cli.errors import ExitCode
from dg.cli.main import run

ID = samples.ID
CONTENT = "5f70bf18" * 8
Captured = pytest.CaptureFixture[str]
HOLD = f"It waits for one approval since 07:00 UTC. An approver can approve it: dg approve {ID}"


def gate(**changed: Any) -> dict[str, Any]:
    return {"name": "approvals", "open": False, "sentence": HOLD, "who": "an approver", **changed}


def waiting(**changed: Any) -> dict[str, Any]:
    held = {"hold": HOLD, "content": CONTENT, "gates": [gate()], "approvals": []}
    return samples.deployment(**{"environment": "production", **held, **changed})


def changes(**changed: Any) -> dict[str, Any]:
    commit = {"sha": samples.SHA, "author": "Ana", "subject": "Fix it", "at": "2026-11-26T06:00:00Z"}
    both = {"total": 1, "commits": [commit], "leaving_total": 0, "leaving": []}
    return {"base": "0" * 40, "head": samples.SHA, **both, **changed}


def test_approve_agrees_to_what_was_shown(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"GET /deployments/{ID}", waiting())
    api.on(f"POST /deployments/{ID}/approve", waiting(hold="It is next and starts at once."))
    assert run(["approve", ID, "--note", "looks good"]) == ExitCode.OK
    (asked,) = api.requests(f"POST /deployments/{ID}/approve")
    assert asked.body == {"content": CONTENT, "note": "looks good"}
    assert capsys.readouterr().out.splitlines() == [
        "✓ approved web 1.4.2 → production (#7)",
        "  It is next and starts at once.",
    ]


def test_approve_sends_the_content_that_a_person_names(api: ScriptedApi) -> None:
    api.on(f"GET /deployments/{ID}", waiting())
    api.on(f"POST /deployments/{ID}/approve", waiting())
    assert run(["approve", ID, "--content", "0123456789ab"]) == ExitCode.OK
    assert api.requests(f"POST /deployments/{ID}/approve")[0].body == {"content": "0123456789ab"}


@pytest.mark.parametrize(("answer", "code"), [(True, ExitCode.OK), (False, ExitCode.REFUSED)])
def test_a_person_sees_the_commits_and_is_asked(
    api: ScriptedApi, answer: bool, code: ExitCode, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(approvals, "person_is_there", lambda: True)
    monkeypatch.setattr(click, "confirm", lambda *_, **__: answer)
    api.on(f"GET /deployments/{ID}", waiting())
    api.on(f"GET /deployments/{ID}/changes", changes())
    api.on(f"POST /deployments/{ID}/approve", waiting())
    assert run(["approve", ID]) == code
    assert len(api.requests(f"POST /deployments/{ID}/approve")) == answer
    shown = capsys.readouterr().err
    assert "from 0000000 to 9f1c2ab" in shown
    assert "+  9f1c2ab  Fix it (Ana)" in shown


def test_what_moved_is_shown_with_the_new_commits(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"GET /deployments/{ID}", waiting())
    api.on(
        f"POST /deployments/{ID}/approve",
        samples.envelope(
            "VALIDATION_ERROR",
            "#7 is not what you saw: 1.4.1 runs there now",
            reason="stale_content",
            changes={
                "total": 3,
                "commits": [{"sha": samples.SHA, "author": "Ana", "subject": "Fix \x1b[2J"}],
            },
        ),
        status=409,
    )
    assert run(["approve", ID]) == ExitCode.REFUSED
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "dg: #7 is not what you saw: 1.4.1 runs there now"
    assert said[1].split() == ["+", "9f1c2ab", "Fix", "␛[2J", "(Ana)"]
    assert said[2].strip() == "and 2 more"


def test_reject_says_why_and_override_names_the_gates(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"GET /deployments/{ID}", waiting())
    api.on(f"POST /deployments/{ID}/reject", samples.deployment(status="failed", reason="rejected"))
    api.on(f"POST /deployments/{ID}/override", waiting(hold="It is next and starts at once."))
    assert run(["reject", ID, "--reason", "it locks the orders"]) == ExitCode.OK
    assert (
        run(["override", ID, "--gate", "window", "--gate", "approvals", "--reason", "outage"]) == ExitCode.OK
    )
    assert [asked.body for asked in api.asked if asked.method == "POST"] == [
        {"reason": "it locks the orders"},
        {"gates": ["window", "approvals"], "reason": "outage"},
    ]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "✓ rejected web 1.4.2 → staging (#7)"
    assert said[1] == "✓ passed window, approvals of web 1.4.2 → production (#7)"


@pytest.mark.parametrize("arguments", [["reject", ID], ["override", ID, "--reason", "x"], ["override", ID]])
def test_a_decision_without_its_reason_or_gate_is_misuse(api: ScriptedApi, arguments: list[str]) -> None:
    assert run(arguments) == ExitCode.USAGE
    assert api.asked == []


def test_diff_shows_what_comes_to_what_runs_now(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"GET /deployments/{ID}", waiting())
    api.on(f"GET /deployments/{ID}/changes", changes(), changes(), {"head": samples.SHA, "total": 0})
    assert run(["diff", ID]) == ExitCode.OK
    assert run(["diff", ID, "--json"]) == ExitCode.OK
    assert run(["diff", ID]) == ExitCode.OK
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "from 0000000 to 9f1c2ab"
    assert json.loads(said[2]) == changes()
    assert said[3:] == ["from nothing that is known to 9f1c2ab", "no commit comes or goes"]


PATCH = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-1\n+2\n"


def test_diff_shows_the_files_where_that_is_asked(api: ScriptedApi, capsys: Captured) -> None:
    files = {"total": 2, "added": 1, "removed": 1, "files": [{"path": "x", "added": 1, "removed": 1}]}
    found = {"head": samples.SHA, "files": files, "patch": PATCH, "cut": True}
    api.on(f"GET /deployments/{ID}", waiting())
    api.on(f"GET /deployments/{ID}/changes", changes())
    api.on(f"GET /deployments/{ID}/diff", found)
    assert run(["diff", ID, "--patch"]) == ExitCode.OK
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "from 0000000 to 9f1c2ab"
    assert said[-8:] == ["2 files +1 -1", *PATCH.splitlines(), "It goes on: ask for one file with --file."]
    assert run(["diff", ID, "--file", "x", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == found
    assert api.asked[-1].query == {"file": "x"}


def test_show_tells_every_gate_and_every_decision(api: ScriptedApi, capsys: Captured) -> None:
    decided = [
        {"by": "u1", "by_name": "Bo", "at": "2026-11-26T07:01:00Z", "verdict": "approved", "content": CONTENT}
        | {"voided_at": "2026-11-26T07:02:00Z", "void_reason": "1.4.1 runs there now"},
        {"by": "u2", "at": "2026-11-26T07:03:00Z", "verdict": "overridden", "content": CONTENT}
        | {"gate": "window", "note": "outage"},
    ]
    gates = [
        gate(),
        gate(name="window", open=True, overridden_by="u2", sentence="Cy passed it: outage"),
        gate(name="lane.known", open=True, sentence="`lane.known` holds", values={"lane.built_at": "soon"}),
    ]
    api.on(f"GET /deployments/{ID}", waiting(gates=gates, approvals=decided))
    api.on(f"GET /deployments/{ID}/status", {**samples.progress(0, "pending"), "steps": []})
    api.on(f"GET /deployments/{ID}/changes", changes())
    assert run(["show", ID]) == ExitCode.OK
    said = capsys.readouterr().out
    for words in (
        f"content      {CONTENT}",
        f"approvals   ○ closed  {HOLD}",
        "window      ● passed  Cy passed it: outage",
        "lane.known  ● open    `lane.known` holds",
        "approved       Bo  2026-11-26 07:01:00 UTC  void: 1.4.1 runs there now",
        "passed window  u2  2026-11-26 07:03:00 UTC  outage",
    ):
        assert words in said


def test_status_marks_what_waits_for_a_person_and_says_who(api: ScriptedApi, capsys: Captured) -> None:
    lane = {
        "service": "web",
        "environment": "production",
        "state": "open",
        "sentence": "web/production is open",
    }
    soaking = waiting(number=8, gates=[gate(name="soak", sentence="It soaks.")], hold="It soaks.")
    api.on("GET /lanes", {"items": [lane]})
    api.on("GET /deployments", {"items": [soaking, waiting(), samples.deployment(number=6)]})
    assert run(["status"]) == ExitCode.OK
    said = capsys.readouterr().out
    assert f"◇ #7 {HOLD}" in said
    assert "· #8 It soaks." in said
    states = [line.split()[5:7] for line in said.splitlines() if line.startswith(("6 ", "7 ", "8 "))]
    assert states == [["·", "pending"], ["◇", "needs"], ["·", "pending"]]
