"""What follows from tries: thresholds, flapping, not knowing, and what explains what."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime
from itertools import cycle, islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dg.core.clock import SECOND, to_micros
from dg.core.errors import Invalid
from dg.core.health import judging
from dg.core.health.models import Outcome, Sample, Standing, Status
from dg.core.health.probes import Probe, read

HEALTHY, DEGRADED, UNHEALTHY, UNKNOWN = Status
PASSED, SLOW, FAILED, DARK = Outcome


def probe(**changed: Any) -> Probe:
    return read({"web": {"kind": "dns", "service": "shop", "host": "shop.example.com", **changed}})["web"]


def course(outcomes: Iterable[Outcome], begin: Status = HEALTHY, **changed: Any) -> list[Status]:
    """What is believed after each of the tries."""
    asked, standing, found = probe(**changed), Standing(begin), []
    for at, outcome in enumerate(outcomes, 1):
        standing = judging.judge(standing, asked, Sample(outcome), at)
        found.append(standing.status)
    return found


def test_a_failure_is_believed_after_three_in_a_row_and_its_end_after_two() -> None:
    assert course([FAILED] * 3) == [HEALTHY, HEALTHY, UNHEALTHY]
    assert course([PASSED] * 2, UNHEALTHY) == [UNHEALTHY, HEALTHY]
    assert course([FAILED], fail_after=1) == [UNHEALTHY]


@pytest.mark.parametrize("begin", [HEALTHY, UNHEALTHY])
def test_flapping_changes_nothing(begin: Status) -> None:
    assert set(course(islice(cycle([FAILED, PASSED]), 100), begin)) == {begin}
    assert set(course(islice(cycle([FAILED, FAILED, PASSED]), 100), begin)) == {begin}


def test_a_warning_never_makes_more_than_degraded() -> None:
    assert course([FAILED] * 5, severity="warning")[-1] is DEGRADED
    assert course([SLOW] * 5)[-1] is DEGRADED


def test_slow_and_failed_tries_count_together_as_worse() -> None:
    assert course([SLOW, FAILED, FAILED])[-1] is UNHEALTHY
    assert course([FAILED, FAILED, SLOW])[-1] is DEGRADED


def test_what_could_not_be_looked_at_is_unknown_and_never_unhealthy() -> None:
    assert course([DARK] * 10)[-1] is UNKNOWN
    assert UNHEALTHY not in course(islice(cycle([FAILED, FAILED, DARK]), 100))
    assert course([PASSED], UNKNOWN) == [HEALTHY]
    assert course([FAILED] * 2, UNKNOWN)[-1] is UNKNOWN


@given(st.lists(st.sampled_from(Outcome), max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_a_status_is_only_left_for_what_was_found_often_enough(
    outcomes: list[Outcome], fail_after: int, recover_after: int
) -> None:
    asked = probe(fail_after=fail_after, recover_after=recover_after)
    statuses = course(outcomes, fail_after=fail_after, recover_after=recover_after)
    for at, (before, after) in enumerate(zip([HEALTHY, *statuses], statuses, strict=False)):
        if after is before:
            continue
        needed = fail_after if after is not HEALTHY else 1 if before is UNKNOWN else recover_after
        if after is DEGRADED and before is UNHEALTHY:
            needed = recover_after
        last = [judging.level(asked, each) for each in outcomes[max(0, at + 1 - needed) : at + 1]]
        assert len(last) == needed
        assert before not in last
        assert last[-1] is after


PROBES = read(
    {
        name: {"kind": "dns", "service": service, "host": "a.example.com", "depends_on": parents}
        for name, service, parents in (
            ("net", "network", []),
            ("db", "database", ["net"]),
            ("web", "shop", ["db"]),
            ("port", "shop", []),
        )
    }
)


def test_a_failure_is_explained_by_the_furthest_thing_that_failed() -> None:
    down = {"net": UNHEALTHY, "db": UNHEALTHY, "web": UNHEALTHY, "port": HEALTHY}
    assert judging.cause(PROBES, down, "web") == "net"
    assert judging.cause(PROBES, down | {"net": HEALTHY}, "web") == "db"
    assert judging.cause(PROBES, down | {"net": UNKNOWN, "db": HEALTHY}, "web") is None
    assert judging.cause(PROBES, down, "port") is None


@pytest.mark.parametrize(
    ("at", "lasts", "day", "rest"),
    [
        ("0 2 * * *", "1h", "2026-03-28", (60, 120)),
        # No clock of Berlin shows two o'clock that night, and then all show it twice.
        ("0 2 * * *", "1h", "2026-03-29", None),
        ("0 2 * * *", "1h", "2026-10-25", (0, 120)),
        ("30 1 * * *", "2h", "2026-03-29", (30, 90)),
        ("30 1 * * *", "2h", "2026-10-25", (-30, 150)),
    ],
)
def test_a_probe_rests_by_the_wall_clock_on_nights_when_clocks_are_set(
    at: str, lasts: str, day: str, rest: tuple[int, int] | None
) -> None:
    rests = probe(maintenance=[{"at": at, "for": lasts, "tz": "Europe/Berlin"}]).rests
    midnight = to_micros(datetime.fromisoformat(f"{day}T00:00Z"))
    found = [minute for minute in range(-120, 300) if rests(midnight + minute * 60 * SECOND)]
    assert found == ([] if rest is None else list(range(*rest)))


def test_a_ring_of_probes_is_refused_with_its_members() -> None:
    parents = {"a": ["b"], "b": ["c"], "c": ["b"], "d": []}
    ring = {
        name: {"kind": "dns", "service": "s", "host": "a.example.com", "depends_on": of}
        for name, of in parents.items()
    }
    with pytest.raises(Invalid) as caught:
        read(ring)
    errors = caught.value.details["errors"]
    assert errors == [
        {"field": f"probes.{name}.depends_on", "message": "leads back to itself"} for name in ("b", "c")
    ]


def test_a_web_of_dependencies_holds_nobody_up() -> None:
    web = {
        f"p{number}": {
            "kind": "dns",
            "service": "s",
            "host": "a.example.com",
            "depends_on": [f"p{parent}" for parent in range(max(0, number - 20), number)],
        }
        for number in range(500)
    }
    begun = time.process_time()
    probes = read(web)
    statuses = dict.fromkeys(probes, UNHEALTHY)
    assert all(judging.cause(probes, statuses, name) for name in list(probes)[1:])
    # Looked up anew for every way that leads there, it takes ten times as long.
    assert time.process_time() - begun < 3


def test_a_service_is_its_worst_probe_and_an_environment_its_worst_service() -> None:
    statuses = {"net": HEALTHY, "db": DEGRADED, "web": HEALTHY, "port": UNHEALTHY}
    found = judging.services(PROBES, statuses)
    assert found == {"network": HEALTHY, "database": DEGRADED, "shop": UNHEALTHY}
    assert judging.verdict(found.values()) == "unhealthy"
    assert judging.verdict([HEALTHY, HEALTHY]) == "healthy"


def test_an_environment_of_which_not_all_is_known_is_degraded() -> None:
    assert judging.verdict([HEALTHY, UNKNOWN]) == "degraded"
    assert judging.verdict([]) == "degraded"
