"""The four figures over histories made by hand, whose answers are known; docs/dora.md has the definitions."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dg.core.deployments import figures
from dg.core.deployments.figures import Commit, Happened
from dg.core.deployments.models import Kind
from dg.core.testing import NOON

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
SINCE, UNTIL = NOON, NOON + 10 * DAY


class Lane:
    """A history as it is told, one deployment after another; times are hours after the window's begin."""

    def __init__(self, service: str = "web") -> None:
        self.service = service
        self.history: list[Happened] = []

    def ran(self, id_: str, hour: float, **more: Any) -> Happened:
        """One that succeeded, unless it is said otherwise."""
        ended = SINCE + round(hour * HOUR)
        facts: dict[str, Any] = {
            "kind": Kind.DEPLOY,
            "commit": id_,
            "succeeded": True,
            "touched": True,
            "undone": False,
            "created_at": ended - 60 * SECOND,
            "completed_at": ended,
        }
        told = Happened(id=id_, service=self.service, environment="production", **facts | more)
        self.history.append(told)
        return told

    def failed(self, id_: str, hour: float, **more: Any) -> Happened:
        return self.ran(id_, hour, succeeded=False, **more)

    def rolled_back(self, id_: str, asked: float, ended: float, of: str, **more: Any) -> Happened:
        asked_at = SINCE + round(asked * HOUR)
        return self.ran(id_, ended, kind=Kind.ROLLBACK, created_at=asked_at, rollback_of=of, **more)

    @property
    def deploys(self) -> list[Happened]:
        return figures.within(self.history, SINCE, UNTIL)


def incidents(*lanes: Lane) -> list[tuple[str, float, str | None, float | None]]:
    """What was bad, since which hour, what ended it, and how many hours it took."""
    history = list(itertools.chain(*(lane.history for lane in lanes)))
    rows = figures.recovery(history, SINCE, UNTIL).rows or ()
    return [
        (
            row.deployment,
            (row.began_at - SINCE) / HOUR,
            row.recovered_by,
            None if row.seconds is None else row.seconds / 3600,
        )
        for row in rows
    ]


# --- the window and the frequency


def test_what_ended_after_the_begin_and_by_the_end_of_the_window_counts() -> None:
    lane = Lane()
    for id_, hour in (
        ("before", -0.001),
        ("at-begin", 0),
        ("first", 0.001),
        ("last", 240),
        ("after", 240.001),
    ):
        lane.ran(id_, hour)
    found = figures.frequency(lane.deploys, SINCE, UNTIL)
    assert found.rows == ("first", "last")
    assert (found.deployments, found.per_day, round(found.per_week, 9)) == (2, 0.2, 1.4)


def test_redeploys_and_rollbacks_are_no_deployments() -> None:
    lane = Lane()
    lane.ran("v1", 1)
    lane.ran("again", 2, kind=Kind.REDEPLOY)
    lane.rolled_back("back", 3, 4, of="v1")
    assert figures.frequency(lane.deploys, SINCE, UNTIL).rows == ("v1",)
    assert [row.deployment for row in figures.change_failure(lane.deploys).rows or ()] == ["v1"]


def test_a_success_that_was_rolled_back_later_was_a_deployment_and_a_failure() -> None:
    lane = Lane()
    lane.ran("v1", 1)
    lane.ran("v2", 2, undone=True)
    assert figures.frequency(lane.deploys, SINCE, UNTIL).deployments == 2
    found = figures.change_failure(lane.deploys)
    assert (found.deployments, found.failures, found.rate) == (2, 1, 0.5)


def test_without_deployments_there_is_no_rate_and_no_percentile() -> None:
    assert figures.change_failure([]).rate is None
    assert figures.lead_time([], {}).median is None
    assert figures.recovery([], SINCE, UNTIL).p90 is None
    assert figures.frequency([], SINCE, UNTIL).per_week == 0


# --- change failure


def test_a_failure_counts_once_however_it_was_undone() -> None:
    lane = Lane()
    lane.failed("v1", 1)
    lane.failed("v2", 2, undone=True)
    lane.ran("v3", 3)
    lane.ran("v4", 4)
    found = figures.change_failure(lane.deploys)
    assert (found.deployments, found.failures, found.rate) == (4, 2, 0.5)
    assert [(row.deployment, row.failed) for row in found.rows or ()] == [
        ("v1", True),
        ("v2", True),
        ("v3", False),
        ("v4", False),
    ]


def test_a_success_that_touched_nothing_could_not_fail() -> None:
    lane = Lane()
    lane.ran("only-built", 1, touched=False)
    assert figures.change_failure(lane.deploys).deployments == 0
    assert figures.frequency(lane.deploys, SINCE, UNTIL).deployments == 1


# --- recovery


def test_a_lane_is_bad_from_the_failure_to_the_next_success() -> None:
    lane = Lane()
    lane.ran("v1", 1)
    lane.failed("v2", 2)
    lane.rolled_back("back", 2, 2.5, of="v2")
    assert incidents(lane) == [("v2", 2.0, "back", 0.5)]


def test_failures_in_a_row_are_one_incident_that_began_with_the_first() -> None:
    lane = Lane()
    lane.failed("v1", 1)
    lane.rolled_back("back", 1, 2, of="v1", succeeded=False)
    lane.failed("v2", 3)
    lane.ran("v3", 5)
    assert incidents(lane) == [("v1", 1.0, "v3", 4.0)]


def test_a_rollback_by_hand_begins_an_incident_when_it_was_asked_for() -> None:
    lane = Lane()
    lane.ran("v1", 1)
    lane.ran("v2", 2, undone=True)
    lane.rolled_back("back", 10, 10.25, of="v2")
    assert incidents(lane) == [("v2", 10.0, "back", 0.25)]


def test_a_rollback_by_hand_that_fails_leaves_the_lane_bad_since_it_was_asked_for() -> None:
    lane = Lane()
    lane.ran("v1", 1)
    lane.rolled_back("back", 3, 4, of="v1", succeeded=False)
    assert incidents(lane) == [("v1", 3.0, None, None)]
    found = figures.recovery(lane.history, SINCE, UNTIL)
    assert (found.incidents, found.open, found.median) == (1, 1, None)


def test_a_redeploy_that_succeeds_ends_an_incident() -> None:
    lane = Lane()
    lane.failed("v1", 1)
    lane.ran("again", 2, kind=Kind.REDEPLOY)
    assert incidents(lane) == [("v1", 1.0, "again", 1.0)]


def test_lanes_recover_by_themselves() -> None:
    web, shop = Lane("web"), Lane("shop")
    web.failed("web-1", 1)
    shop.failed("shop-1", 2)
    shop.ran("shop-2", 3)
    web.ran("web-2", 7)
    assert incidents(web, shop) == [("web-1", 1.0, "web-2", 6.0), ("shop-1", 2.0, "shop-2", 1.0)]


def test_an_incident_belongs_to_the_window_in_which_it_began() -> None:
    lane = Lane()
    lane.failed("early", -2)
    lane.failed("still-bad", 1)
    lane.ran("good", 2)
    lane.failed("late", 3)
    assert incidents(lane) == [("late", 3.0, None, None)]


# --- lead time


def commit(sha: str, hour: float, *parents: str) -> Commit:
    return Commit(sha, SINCE + round(hour * HOUR), parents)


def test_each_commit_takes_from_its_committer_to_the_success_that_brought_it() -> None:
    lane = Lane()
    lane.ran("v2", 10)
    lane.ran("v3", 20)
    brought = {"v2": [commit("a", 1), commit("b", 4)], "v3": [commit("c", 19)]}
    found = figures.lead_time(lane.deploys, brought)
    assert (found.commits, found.deployments) == (3, 2)
    assert (found.median, found.p90) == (6 * 3600, 9 * 3600)
    assert [(row.deployment, row.commit, row.seconds / 3600) for row in found.rows or ()] == [
        ("v2", "a", 9.0),
        ("v2", "b", 6.0),
        ("v3", "c", 1.0),
    ]


def test_a_commit_from_the_future_took_no_time_and_an_unknown_one_is_named() -> None:
    lane = Lane()
    lane.ran("v2", 1)
    lane.ran("v3", 2)
    found = figures.lead_time(lane.deploys, {"v2": [commit("a", 5)], "v3": None})
    assert (found.median, found.unknown, found.deployments) == (0.0, ("v3",), 1)


def test_a_commit_is_brought_once_by_the_first_that_leads_to_it() -> None:
    graph = {each.sha: each for each in (commit("a", 0), commit("b", 1, "a"), commit("c", 1, "a"))}
    graph["m"] = commit("m", 2, "b", "c")
    seen = {"a"}
    assert [each.sha for each in figures.first_brought("b", graph, seen)] == ["b"]
    assert {each.sha for each in figures.first_brought("m", graph, seen)} == {"m", "c"}
    assert figures.first_brought("c", graph, seen) == []


@pytest.mark.parametrize(
    ("values", "median", "ninetieth"),
    [
        ([7.0], 7.0, 7.0),
        ([1.0, 2.0], 1.0, 2.0),
        ([3.0, 1.0, 2.0], 2.0, 3.0),
        ([float(n) for n in range(1, 11)], 5.0, 9.0),
        ([float(n) for n in range(1, 12)], 6.0, 10.0),
    ],
)
def test_percentiles_are_by_nearest_rank(values: list[float], median: float, ninetieth: float) -> None:
    assert (figures.percentile(values, 50), figures.percentile(values, 90)) == (median, ninetieth)


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=50), st.integers(1, 100))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(values: list[float], p: int) -> None:
    found = figures.percentile(values, p)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= p * len(values)
    assert sum(value < found for value in values) * 100 < p * len(values)


def test_the_figures_without_rows_are_the_same_figures() -> None:
    lane = Lane()
    lane.ran("v1", 1)
    lane.failed("v2", 2)
    whole = figures.DoraFigures(
        since=SINCE,
        until=UNTIL,
        environment="production",
        frequency=figures.frequency(lane.deploys, SINCE, UNTIL),
        lead_time=figures.lead_time(lane.deploys, {}),
        change_failure=figures.change_failure(lane.deploys),
        recovery=figures.recovery(lane.history, SINCE, UNTIL),
    )
    bare = whole.without_rows()
    rows = {name: {"rows"} for name in ("frequency", "lead_time", "change_failure", "recovery")}
    assert bare.model_dump(exclude_none=True) == whole.model_dump(exclude_none=True, exclude=rows)
