"""`dg probe`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cli.conftest import ScriptedApi

from dg.cli.errors import ExitCode
from dg.cli.main import run

Captured = pytest.CaptureFixture[str]
WHERE = "/environments/staging"
DEFINITION = {"kind": "http", "service": "shop", "url": "https://shop.example.com/", "interval": "10s"}
STATE: dict[str, Any] = {
    "name": "web",
    "kind": "http",
    "service": "shop",
    "status": "unhealthy",
    "severity": "critical",
    "since": "2026-11-26T07:00:00Z",
    "last_checked": "2026-11-26T07:00:00Z",
    "response_time": 0.021,
    "message": "answers 500\u009b31m",
    "because": "db",
    "maintenance": False,
    "depends_on": ["db"],
    "uptime": {"day": 0.998},
    "definition": DEFINITION,
}
ENVIRONMENT: dict[str, Any] = {
    "name": "staging",
    "domain": "staging.example.com",
    "config": {},
    "secrets": {},
    "targets": {},
    "links": {},
    "probes": {"web": DEFINITION},
    "version": 7,
}


def test_probes_are_listed_with_what_they_found(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"GET {WHERE}/probes", {"items": [STATE]})
    assert run(["probe", "list", "staging"]) == ExitCode.OK
    said = capsys.readouterr().out
    for part in ("web", "http", "shop", "unhealthy", "21 ms", "because of db; answers 500"):
        assert part in said
    assert "\u009b" not in said
    assert run(["probe", "show", "staging", "web"]) == ExitCode.OK
    assert "https://shop.example.com/" in capsys.readouterr().out
    assert run(["probe", "list", "staging", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["definition"] == DEFINITION


def test_a_probe_is_set_key_by_key_from_the_version_that_was_seen(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"GET {WHERE}", ENVIRONMENT)
    api.on(f"PUT {WHERE}/probes/web", {**ENVIRONMENT, "version": 8})
    asked = ["probe", "set", "staging", "web", "interval=5", "status=[204]", "--unset", "url"]
    assert run([*asked, "--reason", "more often"]) == ExitCode.OK
    [sent] = api.requests(f"PUT {WHERE}/probes/web")
    assert sent.body == {
        "definition": {"kind": "http", "service": "shop", "interval": 5, "status": [204]},
        "reason": "more often",
    }
    assert "version 8" in capsys.readouterr().out
    assert run(["probe", "set", "staging", "web"]) == ExitCode.USAGE
    assert run(["probe", "set", "staging", "web", "novalue"]) == ExitCode.USAGE


def test_a_probe_is_removed(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"PUT {WHERE}/probes/web", {**ENVIRONMENT, "probes": {}, "version": 8})
    assert run(["probe", "remove", "staging", "web"]) == ExitCode.OK
    [sent] = api.requests(f"PUT {WHERE}/probes/web")
    assert sent.body == {"remove": True}


def test_a_try_that_fails_ends_with_1(api: ScriptedApi, capsys: Captured) -> None:
    found = {"outcome": "failed", "status": "unhealthy", "message": "answers 500", "facts": {"status": 500}}
    api.on(f"PUT {WHERE}/probes/web/test", found)
    api.on(f"PUT {WHERE}/probes/new/test", {**found, "outcome": "passed", "status": "healthy"})
    assert run(["probe", "test", "staging", "web"]) == ExitCode.FAILED
    assert "answers 500" in capsys.readouterr().out
    api.on(f"GET {WHERE}", ENVIRONMENT)
    assert run(["probe", "test", "staging", "new", "kind=dns", "host=a"]) == ExitCode.OK
    assert api.requests(f"PUT {WHERE}/probes/web/test")[0].body == {}
    [new] = api.requests(f"PUT {WHERE}/probes/new/test")
    assert new.body == {"definition": {"kind": "dns", "host": "a"}}


def test_a_try_takes_what_is_not_named_from_the_probe(api: ScriptedApi) -> None:
    found = {"outcome": "passed", "status": "healthy", "message": "", "facts": {}}
    api.on(f"GET {WHERE}", ENVIRONMENT)
    api.on(f"PUT {WHERE}/probes/web/test", found)
    assert run(["probe", "test", "staging", "web", "timeout=1s"]) == ExitCode.OK
    [sent] = api.requests(f"PUT {WHERE}/probes/web/test")
    assert sent.body == {"definition": {**DEFINITION, "timeout": "1s"}}


def test_a_beat_says_that_all_is_well_or_what_is_not(api: ScriptedApi) -> None:
    beaten = {name: value for name, value in STATE.items() if name != "definition"}
    api.on(f"PUT {WHERE}/probes/pulse/beat", beaten)
    assert run(["probe", "beat", "staging", "pulse"]) == ExitCode.OK
    assert run(["probe", "beat", "staging", "pulse", "--failed", "disk full"]) == ExitCode.OK
    assert [each.body for each in api.requests(f"PUT {WHERE}/probes/pulse/beat")] == [
        {"ok": True},
        {"ok": False, "message": "disk full"},
    ]
