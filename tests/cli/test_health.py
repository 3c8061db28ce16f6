"""`dg health`: tables that fit, what scripts look at, and going on."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from tests.cli.conftest import ScriptedApi
from tests.client import samples

from dg.cli.errors import ExitCode
from dg.cli.health import picture
from dg.cli.main import run
from dg.cli.output import Output, width
from dg.cli.show import print_suspicion
from dg.client.wire import decode
from dg.core.deployments.models import Deployment
from dg.core.health.models import EnvironmentHealth, HealthHistory

Captured = pytest.CaptureFixture[str]
AT = "2026-11-26T07:00:00Z"


def reading(name: str, status: str, **more: Any) -> dict[str, Any]:
    given = {"name": name, "kind": "http", "service": "shop", "status": status, "severity": "critical"}
    return (
        given | {"since": AT, "last_checked": AT, "response_time": 0.183, "uptime": {"month": 0.9997}} | more
    )


def health(name: str = "production", status: str = "unhealthy", **more: Any) -> dict[str, Any]:
    readings = [
        reading("database", "unhealthy", message="connection refused"),
        reading("shop-front-page-of-everything", "unhealthy", depends_on=["database"], because="database"),
    ]
    service = {
        "name": "shop",
        "status": status,
        "response_time": 0.183,
        "since": AT,
        "message": "connection refused",
        "uptime": {"month": 0.9997},
        "readings": readings,
    }
    said = {"name": name, "status": status, "known": True, "message": "shop: connection refused"}
    said |= {"since": AT, "uptime": {}}
    return said | {"services": [service]} | more


def history() -> dict[str, Any]:
    return {"since": AT, "until": AT, "step": 60.0, "items": []}


@pytest.fixture
def three(api: ScriptedApi) -> ScriptedApi:
    for name, services in (("development", []), ("staging", None), ("production", None)):
        found = health(name, "healthy" if name != "production" else "unhealthy")
        api.on(f"GET /environments/{name}/health", found if services is None else found | {"services": []})
        api.on(f"GET /environments/{name}/health/history", history())
    return api


def test_environments_that_have_probes_are_shown_and_scripts_see_the_worst(
    three: ScriptedApi, capsys: Captured
) -> None:
    assert run(["health"]) == ExitCode.FAILED
    said = capsys.readouterr().out
    assert "development" not in said
    assert "● staging is healthy" in said
    assert "✗ production is unhealthy" in said
    assert "└ database" in said
    assert "because of database" in said
    assert run(["health", "staging"]) == ExitCode.OK
    assert run(["health", "development"]) == ExitCode.OK


def test_json_is_what_the_server_says(three: ScriptedApi, capsys: Captured) -> None:
    assert run(["health", "production", "--json"]) == ExitCode.FAILED
    found = json.loads(capsys.readouterr().out)
    assert (found["status"], found["services"][0]["readings"][1]["because"]) == ("unhealthy", "database")


def test_nothing_asked_says_how(api: ScriptedApi, capsys: Captured) -> None:
    for name in ("development", "staging", "production"):
        api.on(f"GET /environments/{name}/health", health(name, "healthy", services=[]))
    assert run(["health"]) == ExitCode.OK
    assert "dg probe set --help" in capsys.readouterr().out


class Screen(io.StringIO):
    """A terminal that keeps what it was told."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [60, 76, 100, 160])
def test_a_picture_fits_whatever_the_services_are_called_and_say(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    long = health(message="x" * 300)
    long["services"][0]["message"] = "the database 数据库 does not answer " * 9
    found = decode(EnvironmentHealth, long)
    screen = Screen()
    items = decode(HealthHistory, history()).items
    picture(found, items, Output(screen, json=False, environ={"NO_COLOR": "1"}), 10**15 * 2, columns)
    shown = screen.getvalue().splitlines()
    assert len(shown) == 4
    assert max(map(width, shown)) <= columns
    assert ("99.97 %" in shown[1]) is (columns >= 76)


def test_a_deployment_says_which_service_became_worse_after_it_had_begun() -> None:
    deployment = decode(Deployment, samples.deployment())
    said = health()
    said["services"][0]["suspect"] = {"deployment": deployment.id, "number": deployment.number}
    screen = Screen()
    print_suspicion(deployment, decode(EnvironmentHealth, said), Output(screen, json=False, environ={}))
    assert "shop is unhealthy since shortly after it began: connection refused" in screen.getvalue()
    other = Screen()
    print_suspicion(deployment, decode(EnvironmentHealth, health()), Output(other, json=False, environ={}))
    assert other.getvalue() == ""
