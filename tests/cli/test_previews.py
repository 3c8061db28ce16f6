"""`dg plan`, and what `dg rollback` shows before it asks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cli.conftest import ScriptedApi
from tests.client import samples

from dg.cli.errors import ExitCode
from dg.cli.main import run

Captured = pytest.CaptureFixture[str]

COMMIT = {"sha": samples.SHA, "author": "Ana", "subject": "Fix it", "at": "2026-11-26T06:00:00Z"}
OLD = "01936b2e-7c00-7000-8000-000000000002"
PREVIEW = "POST /deployments/preview"
BACK = "POST /lanes/web/production/rollback/preview"
ROLLBACK = "POST /lanes/web/production/rollback"


def step(name: str, phase: str, text: str, **changed: Any) -> dict[str, Any]:
    return {
        "index": 0,
        "name": name,
        "phase": phase,
        "action": "run",
        "text": text,
        "timeout": 90.0,
        "grace": 10.0,
        "secrets": [],
        "reversible": True,
        "cancel": "kill",
        "when": "success",
        "background": False,
        **changed,
    }


def preview(**changed: Any) -> dict[str, Any]:
    return {
        "service": "web",
        "environment": "staging",
        "kind": "deploy",
        "version": "1.4.2",
        "commit_sha": samples.SHA,
        "ref": "refs/tags/v1.4.2",
        "current": OLD,
        "current_version": "1.4.1",
        "verdict": "starts",
        "sentence": "Nothing stands in its way: it starts at once.",
        "objections": [],
        "changes": {"base": "b" * 40, "head": samples.SHA, "total": 12, "commits": [COMMIT], "leaving": []},
        "files": {
            "total": 2,
            "added": 5,
            "removed": 1,
            "files": [{"path": "logo.png"}, {"path": "src/shop.py", "added": 5, "removed": 1}],
        },
        "steps": [
            step("migrate", "deploy", "./bin/migrate\n up", secrets=["database_url"], reversible=False),
            step("smoke", "verify", "./bin/smoke", expected=12.0),
        ],
        "irreversible": ["migrate"],
        "secrets": ["database_url"],
        **changed,
    }


def test_plan_names_what_lets_the_server_into_the_repository(api: ScriptedApi, capsys: Captured) -> None:
    api.on(PREVIEW, preview(source="git.example.com/acme", credential="ssh_key"))
    assert run(["plan", "web", "--env", "staging"]) == ExitCode.OK
    assert 'git by the ssh key of [git.sources."git.example.com/acme"]' in capsys.readouterr().out


def objection(reason: str, sentence: str) -> dict[str, str]:
    return {"reason": reason, "sentence": sentence}


def rollback(**changed: Any) -> dict[str, Any]:
    return {
        "service": "web",
        "environment": "production",
        "verdict": "safe",
        "sentence": "Nothing stands in its way: 1.4.1 comes back as it was.",
        "objections": [],
        "doubts": [],
        "afterwards": [objection("lane_locked", "Afterwards it is locked: dg lane unlock web production")],
        "undoes": samples.deployment(),
        "target": samples.deployment(id=OLD, version="1.4.1", commit_sha="1a2b3c4" + "0" * 33),
        "changes": {
            "base": samples.SHA,
            "head": "a" * 40,
            "total": 0,
            "commits": [],
            "leaving_total": 14,
            "leaving": [COMMIT],
        },
        "crosses": [],
        "steps": [step("rollout", "deploy", "./bin/rollout", expected=8.0)],
        "expected": 8.0,
        "settings_leaving": ["currency"],
        "settings_returning": [],
        "artefact": {
            "commit_kept": True,
            "pipeline_readable": True,
            "outputs": {"image": "web:1.4.1"},
            "outputs_missing": ["chart"],
        },
        "past": {"count": 3, "p50": 42.0, "last": "success", "last_at": "2026-11-26T06:00:00Z"},
        **changed,
    }


def test_plan_shows_what_would_run_and_what_it_brings(api: ScriptedApi, capsys: Captured) -> None:
    api.on(PREVIEW, preview())
    assert run(["plan", "web", "v1.4.2", "--env", "staging", "--version", "1.4.2"]) == ExitCode.OK
    assert api.asked[0].body == {
        "environment": "staging",
        "service": "web",
        "ref": "v1.4.2",
        "version": "1.4.2",
    }
    assert capsys.readouterr().out.splitlines() == [
        "deploy web 1.4.2 (9f1c2ab) → staging over 1.4.1",
        "",
        "PHASE   STEP     TIME                                                 RUNS",
        "deploy  migrate  at most 1m30  secret database_url, cannot be undone  ./bin/migrate up",
        "verify  smoke    about 12 s                                           ./bin/smoke",
        "",
        "COMMITS",
        "+  9f1c2ab  Fix it (Ana)",
        "            and 11 more",
        "",
        "FILES 2 +5 -1",
        "        logo.png",
        "+5  -1  src/shop.py",
        "",
        "✓ Nothing stands in its way: it starts at once.",
    ]


def test_a_plan_that_would_wait_says_when_it_would_start(api: ScriptedApi, capsys: Captured) -> None:
    waits = {"verdict": "waits", "sentence": "It waits for #6.", "estimated_start": "2030-01-01T00:00:00Z"}
    api.on(PREVIEW, preview(**waits))
    assert run(["pipeline", "plan", "web", "--env", "staging"]) == ExitCode.OK
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == "· It waits for #6. It would start about 2030-01-01 00:00:00 UTC."


def test_a_plan_that_would_be_refused_says_everything_and_ends_with_3(
    api: ScriptedApi, capsys: Captured
) -> None:
    objections = [objection("lane_closed", "it is locked"), objection("missing_secret", "no \x1b[2J token")]
    refused = preview(verdict="refused", sentence="it is locked", objections=objections)
    api.on(PREVIEW, refused)
    assert run(["plan", "web", "--env", "staging"]) == ExitCode.REFUSED
    assert capsys.readouterr().out.splitlines()[-2:] == ["✗ it is locked", "✗ no ␛[2J token"]
    assert run(["plan", "web", "--env", "staging", "--json"]) == ExitCode.REFUSED
    printed = json.loads(capsys.readouterr().out)
    assert (printed["verdict"], len(printed["objections"])) == ("refused", 2)


def test_rollback_plan_only_shows(api: ScriptedApi, capsys: Captured) -> None:
    api.on(BACK, rollback())
    assert run(["rollback", "web", "--env", "production", "--plan", "--reason", "500s"]) == ExitCode.OK
    assert api.requests(BACK)[0].body == {"reason": "500s", "cross_irreversible": False}
    assert api.requests(ROLLBACK) == []
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "roll back web in production from 1.4.2 (9f1c2ab) to 1.4.1 (1a2b3c4)"
    assert "deploy  rollout  about 8.0 s    ./bin/rollout" in said
    assert "-  9f1c2ab  Fix it (Ana)" in said
    assert "            and 13 more" in said
    assert "settings that go  currency" in said
    assert "artefact          commit kept, pipeline readable, image web:1.4.1, no chart" in said
    assert any("3, 42 s at the median, the last one success" in line for line in said)
    assert said[-2:] == [
        "▲ Afterwards it is locked: dg lane unlock web production",
        "✓ Nothing stands in its way: 1.4.1 comes back as it was.",
    ]


def test_rollback_plan_names_objections_and_doubts(api: ScriptedApi, capsys: Captured) -> None:
    asks = {
        "verdict": "asks",
        "objections": [objection("irreversible", "it crosses `migrate`")],
        "doubts": [objection("last_failed", "The last rollback of this lane failed.")],
        "crosses": ["migrate"],
    }
    api.on(BACK, rollback(**asks))
    assert run(["rollback", "web", "--env", "production", "--plan"]) == ExitCode.OK
    said = capsys.readouterr().out.splitlines()
    assert said[-3:-1] == ["▲ it crosses `migrate`", "▲ The last rollback of this lane failed."]
    assert "crosses           migrate: cannot be undone" in said
    nothing = {
        "service": "web",
        "environment": "production",
        "verdict": "refused",
        "sentence": "nothing was deployed",
        "objections": [objection("no_target", "nothing was deployed")],
        "doubts": [],
        "past": {"count": 0},
    }
    api.on(BACK, nothing)
    assert run(["rollback", "web", "--env", "production", "--plan"]) == ExitCode.REFUSED
    assert capsys.readouterr().out.splitlines() == ["roll back web in production", "✗ nothing was deployed"]


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody can answer a question."""
    monkeypatch.setattr("dg.cli.deployments.person_is_there", lambda: True)


@pytest.mark.usefixtures("person")
@pytest.mark.parametrize(("answer", "code"), [("n", ExitCode.REFUSED), ("y", ExitCode.OK)])
def test_a_person_is_shown_what_goes_away_before_production(
    api: ScriptedApi, answer: str, code: int, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.on(BACK, rollback())
    api.on(ROLLBACK, samples.deployment(kind="rollback"), status=201)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _="": answer)
    assert run(["rollback", "web", "--env", "production"]) == code
    asked = capsys.readouterr().err
    assert "roll back web in production from 1.4.2 (9f1c2ab)" in asked
    assert "-  9f1c2ab  Fix it (Ana)" in asked
    made = api.requests(ROLLBACK)
    assert [request.body for request in made] == (
        [{"cross_irreversible": False, "target": OLD}] if code == ExitCode.OK else []
    )


@pytest.mark.usefixtures("person")
def test_nobody_is_asked_for_a_rollback_that_would_be_refused(api: ScriptedApi, capsys: Captured) -> None:
    refused = rollback(
        verdict="asks", sentence="it is frozen", objections=[objection("lane_closed", "it is")]
    )
    api.on(BACK, refused)
    assert run(["rollback", "web", "--env", "production"]) == ExitCode.REFUSED
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "dg: it is frozen\n")
    assert api.requests(ROLLBACK) == []


def test_plan_shows_what_it_would_wait_for(api: ScriptedApi, capsys: Captured) -> None:
    sentence = "It waits for one approval since 10:00 UTC. An approver can approve it: dg approve ID"
    gates = [
        {"name": "approvals", "open": False, "sentence": sentence, "who": "an approver"},
        {"name": "requires", "open": True, "sentence": "9f1c2ab went well in staging before."},
    ]
    api.on(PREVIEW, preview(verdict="waits", sentence=sentence, gates=gates, files=None, steps=[]))
    assert run(["plan", "web", "--env", "production"]) == ExitCode.OK
    assert capsys.readouterr().out.splitlines()[-5:] == [
        "GATE       STATE",
        f"approvals  ○ closed  {sentence}",
        "requires   ● open    9f1c2ab went well in staging before.",
        "",
        f"· {sentence}",
    ]
