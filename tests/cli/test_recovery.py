"""`dg retry`, `dg abandon`."""

from __future__ import annotations

import pytest
from tests.cli.conftest import ScriptedApi
from tests.client import samples

from dg.cli.errors import ExitCode
from dg.cli.main import run

ID = samples.ID
RETRY = ID[:-1] + "2"
Captured = pytest.CaptureFixture[str]


def test_retry_says_what_was_made_and_how_to_follow_it(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"GET /deployments/{ID}", samples.deployment(status="failed"))
    api.on(
        f"POST /deployments/{ID}/retry",
        samples.deployment(id=RETRY, number=8, retry_of=ID, from_step="rollout"),
        status=201,
    )
    assert run(["retry", ID, "--from", "rollout", "--confirm", "--note", "mended"]) == ExitCode.OK
    (asked,) = api.requests(f"POST /deployments/{ID}/retry")
    assert asked.body == {"from_step": "rollout", "confirm": True, "note": "mended"}
    assert f"dg logs {RETRY} -f" in capsys.readouterr().out


def test_retry_shows_why_it_is_refused(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"GET /deployments/{ID}", samples.deployment(status="failed"))
    why = "`migrate` had begun and asks before it runs again: agree with --confirm"
    api.on(
        f"POST /deployments/{ID}/retry",
        samples.envelope("VALIDATION_ERROR", why, reason="confirm"),
        status=409,
    )
    assert run(["retry", ID]) == ExitCode.REFUSED
    assert why in capsys.readouterr().err


def test_show_says_what_a_retry_takes_up(api: ScriptedApi, capsys: Captured) -> None:
    retry = samples.deployment(id=RETRY, retry_of=ID, from_step="rollout")
    api.on(f"GET /deployments/{RETRY}", retry)
    api.on(f"GET /deployments/{RETRY}/status", {**samples.progress(), "deployment": retry})
    api.on(
        f"GET /deployments/{RETRY}/changes",
        {"head": samples.SHA, "total": 0, "commits": [], "leaving_total": 0, "leaving": []},
    )
    assert run(["show", RETRY]) == ExitCode.OK
    words = capsys.readouterr().out.split()
    assert words[words.index("retry") :][:3] == ["retry", "of", ID]
    assert "rollout" in words


def test_abandon_says_where_to_look(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"GET /deployments/{ID}", samples.deployment(status="deploying"))
    api.on(f"POST /deployments/{ID}/abandon", samples.deployment(status="failed", reason="interrupted"))
    assert run(["abandon", ID, "--reason", "it hangs"]) == ExitCode.OK
    (asked,) = api.requests(f"POST /deployments/{ID}/abandon")
    assert asked.body == {"reason": "it hangs"}
    out = capsys.readouterr().out
    assert "abandoned web 1.4.2 → staging (#7)" in out
    assert "dg why web staging" in out


def test_abandon_wants_a_reason(capsys: Captured) -> None:
    assert run(["abandon", ID]) == ExitCode.USAGE
    assert "--reason" in capsys.readouterr().err
