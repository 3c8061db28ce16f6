"""How health is shown: rows, sparks and shares, from models alone."""

from __future__ import annotations

import pytest

from dg.client.vitals import Cell, cells, headline, lines, share, spark
from dg.core.health.models import (
    EnvironmentHealth,
    Reading,
    Series,
    ServiceHealth,
    Span,
    Status,
    Suspect,
    Uptime,
)
from dg.core.types import Environment

SECOND = 1_000_000
MINUTE = 60 * SECOND
NOW = 1_000 * MINUTE
H, D, U, X = Status.HEALTHY, Status.DEGRADED, Status.UNHEALTHY, Status.UNKNOWN


def reading(name: str, status: Status = H, *needs: str, **more: object) -> Reading:
    given = {"name": name, "kind": "http", "service": "shop", "status": status, "severity": "critical"}
    return Reading.model_validate(given | {"depends_on": needs} | more)


def health(*readings: Reading, status: str = "healthy", **more: object) -> EnvironmentHealth:
    service = ServiceHealth(
        name="shop",
        status=U if status == "unhealthy" else H,
        response_time=0.1834,
        since=NOW - 3 * MINUTE,
        uptime=Uptime(day=1.0, month=0.99999),
        readings=readings,
    )
    given = {"name": "production", "status": status, "known": True, "message": "", "services": (service,)}
    return EnvironmentHealth.model_validate(given | more)


def series(*spans: Span, probe: str = "web") -> Series:
    return Series(probe=probe, service="shop", spans=spans)


def span(minutes_ago: float, slowest: float | None = 0.1, **counts: int) -> Span:
    return Span(at=NOW - round(minutes_ago * MINUTE), slowest=slowest, **(counts or {"passed": 1}))


def test_a_service_with_one_probe_is_one_line() -> None:
    (line,) = lines(health(reading("web")), (series(span(5)),), NOW, width=4)
    assert (line.depth, line.name, line.status) == (0, "shop", H)
    assert (line.took, line.since, line.uptime) == ("183 ms", "3m", "99.99 %")
    assert line.cells == (Cell(), Cell(), Cell(), Cell(H, 0.1))


def test_probes_stand_below_what_they_depend_on() -> None:
    found = lines(
        health(reading("web", U, "api", because="db"), reading("api", U, "db"), reading("db", U)), (), NOW
    )
    shown = [(line.depth, line.name, line.remark) for line in found]
    assert shown == [(0, "shop", ""), (1, "db", ""), (2, "api", ""), (3, "web", "because of db")]


def test_what_depends_on_another_service_s_probe_stands_by_itself() -> None:
    found = lines(health(reading("web", U, "elsewhere"), reading("api")), (), NOW)
    assert [(line.depth, line.name) for line in found] == [(0, "shop"), (1, "web"), (1, "api")]


def test_a_cell_is_the_worst_that_was_found_in_it_by_any_probe() -> None:
    web = series(span(59), span(29, 0.3), span(14, failed=1, passed=9), span(13))
    db = series(span(44, 0.2, slow=1), span(43, 0.9), span(29, None, unknown=1), probe="db")
    assert cells((web, db), NOW - 60 * MINUTE, NOW, 4) == (
        Cell(H, 0.1),
        Cell(D, 0.9),
        Cell(H, 0.3),
        Cell(U, 0.1),
    )
    assert cells((db,), NOW - 60 * MINUTE, NOW, 4)[2] == Cell(X)
    assert cells((web,), NOW - 60 * MINUTE, NOW, 0) == ()


def test_what_lies_outside_of_the_time_is_left_out() -> None:
    assert cells((series(span(61), span(-1), span(0)),), NOW - 60 * MINUTE, NOW, 2) == (Cell(), Cell())


def test_a_spark_shows_how_long_answers_took_and_where_there_was_none() -> None:
    shown = [Cell(H, 0.1), Cell(H, 0.4), Cell(D, 0.8), Cell(U, 0.1), Cell(X), Cell()]
    assert spark(shown) == "▁▄█×?┄"


def test_a_steady_service_is_a_flat_line() -> None:
    assert len(set(spark([Cell(H, 0.181), Cell(H, 0.183), Cell(H, 0.18), Cell(H, 0.184)]))) == 1
    assert spark([Cell(H), Cell(H)]) == "▁▁"
    assert spark([]) == ""


@pytest.mark.parametrize(
    ("uptime", "text"),
    [(None, ""), (1.0, "100 %"), (0.999999, "99.99 %"), (0.9997, "99.97 %"), (0.5, "50.0 %"), (0.0, "0.0 %")],
)
def test_a_share_is_never_rounded_up_to_all(uptime: float | None, text: str) -> None:
    assert share(uptime) == text


def test_the_headline_says_since_when_and_why() -> None:
    found = health(status="unhealthy", since=NOW - 4 * MINUTE, message="shop answers 500")
    assert headline(found, NOW) == "production is unhealthy for 4m: shop answers 500"
    assert headline(health(), NOW) == "production is healthy"
    assert headline(health(since=NOW - 1), NOW) == "production is healthy"
    assert found.name is Environment.PRODUCTION


def test_a_service_that_became_worse_names_the_deployment_that_had_begun() -> None:
    (service,) = health(reading("web", U), status="unhealthy").services
    suspected = service.model_copy(
        update={"message": "answers 500", "suspect": Suspect(deployment="d", number=31)}
    )
    found = health().model_copy(update={"services": (suspected,)})
    assert next(lines(found, (), NOW)).remark == "answers 500; since #31 began"
