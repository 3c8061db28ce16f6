"""The meter: as many at once as the limit says, and back they come evenly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dg.api.rates import Meter
from dg.settings.units import Rate

HOURLY = Rate(10, 3600)


def let_in(meter: Meter, caller: str, now: float) -> int:
    """How many requests in a row are let in at once."""
    count = 0
    while not meter.spend(caller, now).wait:
        count += 1
    return count


@pytest.mark.parametrize("rate", [HOURLY, Rate(1, 1), Rate(7, 60), Rate(30_000, 60), Rate(999, 86400)])
def test_the_limit_may_be_sent_at_once_and_not_one_more(rate: Rate) -> None:
    assert let_in(Meter(rate), "ada", 1e6 + 0.1) == rate.limit


def test_what_is_left_counts_down_and_comes_back_evenly() -> None:
    meter = Meter(HOURLY)
    assert [meter.spend("ada", 0.0).remaining for _ in range(3)] == [9, 8, 7]
    assert meter.look("ada", 0.0).full == pytest.approx(3 * 360)
    assert meter.look("ada", 360.0).remaining == 8
    assert meter.look("ada", 3 * 360.0).remaining == 10


def test_one_too_many_is_told_when_to_come_and_is_let_in_then() -> None:
    meter = Meter(HOURLY)
    let_in(meter, "ada", 0.0)
    refused = meter.spend("ada", 60.0)
    assert refused.remaining == 0
    assert refused.wait == pytest.approx(300.0)
    assert meter.spend("ada", 60.0 + refused.wait).wait == 0


def test_a_refused_request_costs_nothing() -> None:
    meter = Meter(HOURLY)
    let_in(meter, "ada", 0.0)
    for _ in range(100):
        meter.spend("ada", 0.0)
    assert let_in(meter, "ada", 360.0) == 1


def test_a_thousand_callers_do_not_touch_each_other() -> None:
    meter = Meter(HOURLY)
    callers = [f"principal-{number}" for number in range(1000)]
    greedy = let_in(meter, callers[0], 0.0)
    assert (greedy, {let_in(meter, caller, 0.0) for caller in callers[1:]}) == (10, {10})


def test_those_who_have_sent_nothing_for_longest_are_forgotten_first() -> None:
    meter = Meter(HOURLY, most=2)
    let_in(meter, "ada", 0.0)
    for caller in ("bob", "ada", "cyd"):
        meter.spend(caller, 400.0)
    assert meter.callers == 2
    assert meter.look("ada", 400.0).remaining == 0
    assert meter.look("bob", 400.0).remaining == 10


@given(
    limit=st.integers(1, 500),
    window=st.sampled_from([1, 60, 3600, 86400]),
    pauses=st.lists(st.floats(0, 5), max_size=300),
)
def test_in_the_long_run_nobody_gets_more_than_the_rate(limit: int, window: int, pauses: list[float]) -> None:
    meter = Meter(Rate(limit, window))
    now, passed = 12345.6, 0
    for pause in pauses:
        now += pause
        passed += not meter.spend("ada", now).wait
    assert passed <= limit + (now - 12345.6) * limit / window + 1e-3
