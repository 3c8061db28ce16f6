"""When probes are due: spread, steady, and without a storm after time was lost."""

from __future__ import annotations

from random import Random

from dg.core.health.schedule import LATEST, Schedule


def due(schedule: Schedule[int], now: float) -> list[int]:
    found = []
    while (each := schedule.take(now)) is not None:
        found.append(each.key)
    return found


def many(count: int = 500, interval: float = 5.0) -> Schedule[int]:
    schedule: Schedule[int] = Schedule(Random(7).random)  # noqa: S311
    schedule.hold(dict.fromkeys(range(count), interval), 0.0)
    return schedule


def test_many_probes_of_one_interval_are_spread_over_it() -> None:
    schedule = many()
    per_tenth = [len(due(schedule, tenth / 10)) for tenth in range(1, 51)]
    assert sum(per_tenth) == 500
    assert max(per_tenth) < 25


def test_each_comes_once_an_interval_however_late_the_loop_looks() -> None:
    schedule = many(count=20)
    counts = dict.fromkeys(range(20), 0)
    now, chance = 0.0, Random(1)  # noqa: S311
    while now < 500.0:
        now += chance.uniform(0.0, 0.9)
        for key in due(schedule, now):
            counts[key] += 1
    assert all(98 <= count <= 101 for count in counts.values())


def test_time_that_was_lost_is_not_made_up_for() -> None:
    schedule = many()
    due(schedule, 5.0)
    woken = due(schedule, 3605.0)
    assert len(woken) <= 500 * LATEST / 5.0 * 1.3
    per_tenth = [len(due(schedule, 3605.0 + tenth / 10)) for tenth in range(1, 51)]
    assert max(per_tenth) < 25
    assert len(woken) + sum(per_tenth) >= 500


def test_a_change_of_one_leaves_the_others_where_they_were() -> None:
    schedule: Schedule[int] = Schedule(lambda: 0.5)
    schedule.hold({0: 5.0, 1: 5.0, 2: 5.0}, 0.0)
    assert due(schedule, 2.5) == [0, 1, 2]
    schedule.hold({0: 5.0, 1: 5.0, 2: 60.0}, 5.0)
    assert due(schedule, 7.5) == [0, 1]
    schedule.hold({0: 5.0}, 10.0)
    assert due(schedule, 12.4) == []
    assert due(schedule, 12.5) == [0]


def test_what_was_put_off_comes_then_and_not_before() -> None:
    schedule: Schedule[str] = Schedule(lambda: 0.0)
    schedule.hold({"beat": 10.0}, 0.0)
    schedule.postpone("beat", 25.0)
    assert schedule.take(24.9) is None
    assert schedule.wait(24.0) == 1.0
    taken = schedule.take(25.0)
    assert taken is not None
    assert taken.key == "beat"
    schedule.postpone("gone", 1.0)
    schedule.hold({}, 30.0)
    assert schedule.wait(30.0) is None
