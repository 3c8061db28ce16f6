"""`dg status-page`: what the public sees, and what it never does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import ScriptedApi

from dg.cli.errors import ExitCode
from dg.cli.main import run
from dg.client.models import Event
from dg.client.statuspage import DAY, DAYS, Incident, incidents, page, row
from dg.core.clock import SECOND
from dg.core.health.models import Series, Span, Status

NOW = 1_795_720_000 * SECOND
HOSTILE = '<script>alert("1")</script>&\u202e\x1b]'
SETTINGS = """
[status_page]
title = "Acme <b>"
[status_page.services.web]
service = "shop"
name = "The shop"
"""


def change(at: int, status: str) -> Event:
    payload = {"service_status": status, "message": "10.0.0.7 refused", "probe": "secret-probe"}
    return Event(seq=at, at=at, type="environment.health_changed", actor="dg", auth="", payload=payload)


def series(*spans: Span) -> list[Series]:
    return [Series(probe="p", service="shop", spans=spans)]


def test_markup_in_names_is_text() -> None:
    shown = page(
        HOSTILE, [row(HOSTILE, Status.HEALTHY, [], NOW)], [Incident(HOSTILE, Status.DEGRADED, 0)], NOW
    )
    assert "<script" not in shown
    assert "\u202e" not in shown
    assert "\x1b" not in shown
    assert shown.count("&lt;script&gt;alert(&quot;1&quot;)") == 5


def test_page_loads_and_runs_nothing() -> None:
    shown = page("Status", [row("Shop", Status.HEALTHY, [], NOW)], [], NOW)
    assert "default-src 'none'" in shown
    assert not [
        word for word in ("<script", "http://", "https://", "url(", "@import", "src=") if word in shown
    ]


def test_days_are_oldest_first_and_today_is_last() -> None:
    found = row(
        "Shop", Status.HEALTHY, series(Span(at=NOW - DAYS * DAY, passed=1), Span(at=NOW, failed=1)), NOW
    )
    assert len(found.days) == DAYS
    assert (found.days[0], found.days[1], found.days[-1]) == (Status.HEALTHY, None, Status.UNHEALTHY)
    assert found.uptime == 0.5


def test_day_with_one_failure_of_thousands_is_not_a_bad_one() -> None:
    found = row("Shop", Status.HEALTHY, series(Span(at=NOW, passed=17_279, failed=1)), NOW)
    assert found.days[-1] is Status.DEGRADED


def test_incident_lasts_until_the_service_is_well_and_is_as_bad_as_its_worst() -> None:
    told = [change(10, "degraded"), change(20, "unhealthy"), change(30, "degraded"), change(40, "healthy")]
    assert incidents("Shop", told, 0) == [Incident("Shop", Status.UNHEALTHY, 10, 40)]


def test_incident_that_goes_on_is_shown_and_one_before_the_page_is_not() -> None:
    told = [change(10, "unhealthy"), change(20, "healthy"), change(50, "degraded")]
    assert incidents("Shop", told, 30) == [Incident("Shop", Status.DEGRADED, 50)]


@pytest.fixture
def home(api: ScriptedApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose settings name one service of two, and a server where it is down."""
    (tmp_path / "server.toml").write_text(SETTINGS)
    monkeypatch.setenv("DG_HOME", str(tmp_path))
    at = "2026-11-26T07:00:00Z"
    names = ("shop", "intern")
    services: list[dict[str, Any]] = [
        {"name": name, "status": "unhealthy", "message": "10.0.0.7 refused", "readings": []} for name in names
    ]
    said = {"name": "production", "status": "unhealthy", "known": True, "message": "", "services": services}
    api.on("GET /environments/production/health", said)
    api.on("GET /environments/production/health/history", {"since": at, "until": at, "step": 1, "items": []})
    event = {"seq": 1, "at": at, "type": "environment.health_changed", "actor": "dg", "auth": ""}
    event |= {"payload": {"service_status": "unhealthy", "message": "10.0.0.7 refused"}}
    api.on("GET /events", {"items": [event], "next_after": 1}, {"items": [], "next_after": 1})
    return tmp_path


def test_only_what_the_settings_name_is_written(home: Path, api: ScriptedApi) -> None:
    out = home / "index.html"
    assert run(["status-page", "--out", str(out)]) == ExitCode.OK
    shown = out.read_text("utf-8")
    assert "The shop" in shown
    assert "Acme &lt;b&gt;" in shown
    assert "Down" in shown
    assert not [word for word in ("intern", "10.0.0.7", "production") if word in shown]
    assert out.stat().st_mode & 0o777 == 0o644
    (asked,) = api.requests("GET /environments/production/health/history")
    assert asked.query["service"] == "shop"


def test_without_settings_nothing_is_shown(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "server.toml").write_text("")
    assert run(["status-page"]) == ExitCode.REFUSED
    said = capsys.readouterr()
    assert said.out == ""
    assert "[status_page.services.shop]" in said.err


def test_file_that_cannot_be_written_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status-page", "--out", str(home / "none" / "index.html")]) == ExitCode.REFUSED
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_watch_needs_a_file(home: Path) -> None:
    assert run(["status-page", "--watch"]) == ExitCode.USAGE
