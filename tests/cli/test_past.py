"""`dg status --as-of`: marked as the past, cleaned, and refused where nothing is known."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cli.conftest import ScriptedApi
from tests.client import samples

from dg.cli.errors import ExitCode
from dg.cli.main import run

Captured = pytest.CaptureFixture[str]
THEN = "2026-01-26T08:20:00Z"


def lane(service: str, **changed: Any) -> dict[str, Any]:
    told = {
        "service": service,
        "environment": "production",
        "state": "open",
        "sentence": f"{service}/production was open; 1.4.2 ran there.",
        "known": True,
        "waiting": 0,
        "current": {
            "id": samples.ID,
            "number": 7,
            "version": "1.4.2",
            "commit_sha": samples.SHA,
            "by": "u1",
            "by_name": "Ana",
            "completed_at": "2026-01-26T06:20:00Z",
        },
    }
    return {**told, **changed}


def environment(*lanes: dict[str, Any], **changed: Any) -> dict[str, Any]:
    told = {"at": THEN, "recorded_at": "2025-01-01T00:00:00Z", "version": 3, "services": [], "lanes": lanes}
    return {"name": "production", **told, **changed}


@pytest.fixture
def past(api: ScriptedApi) -> ScriptedApi:
    """A server of whose environments one may be seen."""
    for name in ("development", "staging"):
        refusal = samples.envelope("UNAUTHORIZED", "you may not", reason="forbidden")
        api.on(f"GET /environments/{name}/past", refusal, status=403)
    return api


def test_what_was_is_marked_and_told_with_why_it_was_closed(past: ScriptedApi, capsys: Captured) -> None:
    locked = lane(
        "api",
        state="locked",
        sentence="api/production was locked until 09:00 UTC: \x1b[2Jsale.",
        current=None,
    )
    services = [{"service": "web", "status": "degraded", "since": THEN, "message": "slow"}]
    drifted = lane("web", drift={"found": "9c41e7b", "at": THEN})
    past.on("GET /environments/production/past", environment(locked, drifted, services=services))
    assert run(["status", "--as-of", THEN]) == ExitCode.OK
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("AS OF 2026-01-26 ")
    assert shown[0].endswith("ago): what was, not what is")
    assert [row.split() for row in shown[1:4]] == [
        ["SERVICE", "ENVIRONMENT", "RAN", "BY", "SINCE", "LANE", "HEALTH"],
        ["api", "production", "nothing", "yet", "▲", "locked"],
        ["web", "production", "1.4.2", "(9f1c2ab)", "Ana", "2h", "before", "●", "open", "▲", "degraded"],
    ]
    assert shown[5:] == [
        "▲ api/production was locked until 09:00 UTC: ␛[2Jsale.",
        "✗ web in production ran 9c41e7b, as a check had found",
        "▲ web in production was degraded: slow",
    ]
    assert past.requests("GET /environments/production/past")[0].query == {"as_of": THEN}


def test_its_json_is_what_the_api_says(past: ScriptedApi, capsys: Captured) -> None:
    past.on("GET /environments/production/past", environment(lane("web"), lane("api")))
    assert run(["--json", "status", "web", "--env", "prod", "--as-of", THEN]) == ExitCode.OK
    (found,) = json.loads(capsys.readouterr().out)["environments"]
    assert (found["at"], [each["service"] for each in found["lanes"]]) == (THEN, ["web"])
    assert past.requests("GET /environments/staging/past") == []


def test_what_is_not_known_is_refused_as_the_server_says(past: ScriptedApi, capsys: Captured) -> None:
    refusal = samples.envelope("VALIDATION_ERROR", "the record begins at …", reason="unrecorded")
    past.on("GET /environments/production/past", refusal, status=409)
    assert run(["status", "--as-of", THEN]) == ExitCode.REFUSED
    assert "the record begins at" in capsys.readouterr().err


def test_who_may_see_none_is_told_so(past: ScriptedApi, capsys: Captured) -> None:
    refusal = samples.envelope("UNAUTHORIZED", "you may not", reason="forbidden")
    past.on("GET /environments/production/past", refusal, status=403)
    assert run(["status", "--as-of", THEN]) != ExitCode.OK
    assert "you may not" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["2100-01-01T00:00:00Z", "later"])
def test_a_time_that_is_not_over_is_not_asked_for(past: ScriptedApi, text: str) -> None:
    assert run(["status", "--as-of", text]) == ExitCode.USAGE
    assert past.asked == []
