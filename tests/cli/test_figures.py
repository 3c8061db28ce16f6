"""`dg dora`: four lines, and the rows behind them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cli.conftest import ScriptedApi

from dg.cli.errors import ExitCode
from dg.cli.main import run

Captured = pytest.CaptureFixture[str]
ROUTE = "GET /deployments/figures"
ONE, TWO = (f"01936b2e-7c00-7000-8000-00000000000{n}" for n in (1, 2))


def answer(**changed: Any) -> dict[str, Any]:
    return {
        "since": "2026-10-27T07:30:00Z",
        "until": "2026-11-26T07:30:00Z",
        "environment": "production",
        "frequency": {"deployments": 12, "per_day": 0.4, "per_week": 2.8},
        "lead_time": {"commits": 40, "deployments": 11, "median": 11520.0, "p90": 93600.0, "unknown": []},
        "change_failure": {"deployments": 12, "failures": 3, "rate": 0.25},
        "recovery": {"incidents": 3, "open": 1, "median": 724.0, "p90": 4200.0},
        **changed,
    }


NOTHING = {
    "frequency": {"deployments": 0, "per_day": 0.0, "per_week": 0.0},
    "lead_time": {"commits": 0, "deployments": 0, "unknown": []},
    "change_failure": {"deployments": 0, "failures": 0},
    "recovery": {"incidents": 0, "open": 0},
}


def test_it_prints_the_four_figures_and_what_they_were_counted_from(
    api: ScriptedApi, capsys: Captured
) -> None:
    api.on(ROUTE, answer())
    assert run(["dora"]) == ExitCode.OK
    assert capsys.readouterr().out.splitlines() == [
        "all services in production over the last 30 days, to 2026-11-26 07:30:00 UTC",
        "  deployment frequency  0.40 a day, 2.8 a week          12 succeeded",
        "  lead time             median 3h12, 90 % within 1d02h  40 commits in 11 deployments",
        "  change failure        25.0%                           3 of 12 failed or were rolled back",
        "  recovery              median 12m04, 90 % within 1h10  2 of 3 incidents are over",
    ]
    assert api.asked[0].query == {"environment": "production", "days": "30"}


def test_it_asks_for_what_was_meant(api: ScriptedApi, capsys: Captured) -> None:
    api.on(ROUTE, answer(service="web", environment="staging"))
    assert run(["dora", "--service", "web", "--env", "staging", "--days", "1", "--rows"]) == ExitCode.OK
    assert api.asked[0].query == {"environment": "staging", "service": "web", "days": "1", "rows": "true"}
    assert capsys.readouterr().out.startswith("web in staging over the last day, to ")


def test_nothing_is_not_zero(api: ScriptedApi, capsys: Captured) -> None:
    api.on(ROUTE, answer(**NOTHING))
    assert run(["dora"]) == ExitCode.OK
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in said[2:4]] == ["-", "-"]
    assert said[4].endswith("no incident")


def test_commits_that_git_lost_are_counted_out_loud(api: ScriptedApi, capsys: Captured) -> None:
    api.on(ROUTE, answer(lead_time={**answer()["lead_time"], "unknown": [ONE, TWO]}))
    assert run(["dora"]) == ExitCode.OK
    assert "11 deployments; the commits of 2 more are not known any more" in capsys.readouterr().out


def test_rows_are_printed_below(api: ScriptedApi, capsys: Captured) -> None:
    commit = {"deployment": ONE, "commit": "9f1c2ab" + "0" * 33, "committed_at": "2026-11-26T07:00:00Z"}
    lane = {"service": "web", "environment": "production"}
    over = {"recovered_by": TWO, "recovered_at": "2026-11-26T07:12:00Z", "seconds": 720.0}
    began = {**lane, "deployment": ONE, "began_at": "2026-11-26T07:00:00Z"}
    rows = {
        "frequency": {**answer()["frequency"], "rows": [ONE]},
        "lead_time": {**answer()["lead_time"], "rows": [{**commit, "seconds": 1800.0}]},
        "change_failure": {**answer()["change_failure"], "rows": [{"deployment": TWO, "failed": True}]},
        "recovery": {**answer()["recovery"], "rows": [{**began, **over}, began]},
    }
    api.on(ROUTE, answer(**rows))
    assert run(["dora", "--rows"]) == ExitCode.OK
    said = capsys.readouterr().out
    assert f"  9f1c2ab  2026-11-26 07:00:00 UTC  30m00  {ONE}" in said
    assert f"  {TWO}  failed" in said
    assert f"{ONE}  12m00         by {TWO}" in said
    assert "not over yet" in said
    assert run(["--json", "dora", "--rows"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == answer(**rows)


def test_days_have_bounds(api: ScriptedApi, capsys: Captured) -> None:
    assert run(["dora", "--days", "0"]) == ExitCode.USAGE
    assert "--days" in capsys.readouterr().err
