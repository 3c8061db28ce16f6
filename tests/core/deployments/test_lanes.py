"""The rules of a lane: who is next, what is admitted, and the sentences that say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.deployments.desk import SECOND, commit_of

from dg.core.deployments import lanes
from dg.core.deployments.lanes import Facts
from dg.core.deployments.models import Deployment, Freeze, Kind, LaneState, Lock, Status
from dg.core.testing import NOON
from dg.core.types import Environment

HOUR = 3600 * SECOND
DAY = 24 * HOUR


def deployment(number: int = 1, version: str = "v1", **changes: Any) -> Deployment:
    """A deployment that waits, asked for `number` seconds after noon."""
    return Deployment(
        id=f"id-{number}",
        number=number,
        service="web",
        environment=Environment.PRODUCTION,
        kind=Kind.DEPLOY,
        status=Status.PENDING,
        stage="queued",
        version=version,
        commit_sha=commit_of(version),
        created_by="id-of-ana",
        created_at=NOON + number * SECOND,
        queued_at=NOON + number * SECOND,
        pipeline_sha256="0" * 64,
    ).model_copy(update=changes)


def facts(**changes: Any) -> Facts:
    return replace(Facts(service="web", environment="production", now=NOON), **changes)


def lock(*, automatic: bool = False, until: int = NOON + HOUR, reason: str = "database work.") -> Lock:
    by = "dg" if automatic else "ana"
    return Lock(reason=reason, automatic=automatic, by=by, since=NOON - HOUR, until=until)


def freeze(until: int = NOON + DAY, *, reason: str = "the fair", **where: Any) -> Freeze:
    return Freeze(id="f1", reason=reason, by="ben", since=NOON, until=until, **where)


RUNNING = deployment(
    4, "v4", status=Status.DEPLOYING, started_at=NOON - 60 * SECOND, environment=Environment.PRODUCTION
)
BACK = deployment(5, "v3", kind=Kind.ROLLBACK, status=Status.DEPLOYING, started_at=NOON)


# --- the sentence

OPERATORS = "An admin, approver or operator"
APPROVERS = "An admin or approver"


@pytest.mark.parametrize(
    ("lane", "state", "sentence"),
    [
        (facts(), LaneState.OPEN, "web/production is open; nothing was deployed there yet."),
        (
            facts(current=deployment()),
            LaneState.OPEN,
            f"web/production is open; v1 ({commit_of('v1')[:7]}) runs there.",
        ),
        (
            facts(known=False),
            LaneState.OPEN,
            (
                "web/production is open, but what runs there is not known: "
                "the last deployment failed midway. Deploy a version, or roll back."
            ),
        ),
        (
            facts(current=deployment(version=commit_of("v1")[:12], commit_sha=commit_of("v1"))),
            LaneState.OPEN,
            f"web/production is open; {commit_of('v1')[:12]} runs there.",
        ),
        (
            facts(holder=RUNNING),
            LaneState.BUSY,
            (
                "web/production is busy: #4 is deploying v4 since 14:12 UTC. "
                "An admin or operator can stop it: dg cancel id-4"
            ),
        ),
        (
            facts(holder=BACK, queue=[deployment(6)]),
            LaneState.BUSY,
            (
                "web/production is busy: #5 is rolling back to v3 since 14:13 UTC; 1 more waits behind it. "
                "An admin or operator can stop it: dg cancel id-5"
            ),
        ),
        (
            facts(holder=RUNNING, queue=[deployment(6), deployment(7)]),
            LaneState.BUSY,
            (
                "web/production is busy: #4 is deploying v4 since 14:12 UTC; 2 more wait behind it. "
                "An admin or operator can stop it: dg cancel id-4"
            ),
        ),
        (
            facts(lock=lock(), holder=RUNNING),
            LaneState.LOCKED,
            (
                "web/production is locked until 15:13 UTC: database work (by ana since 13:13 UTC). "
                f"{OPERATORS} can open it: dg lane unlock web production"
            ),
        ),
        (
            facts(lock=lock(), freezes=[freeze()]),
            LaneState.FROZEN,
            (
                "web/production is frozen until 14:13 UTC on 2026-09-22: the fair (by ben since 14:13 UTC). "
                f"{APPROVERS} can end it: dg thaw f1"
            ),
        ),
        (
            facts(lock=lock(until=NOON)),
            LaneState.OPEN,
            "web/production is open; nothing was deployed there yet.",
        ),
        (
            facts(
                freezes=[freeze(until=NOON), freeze(environment=Environment.STAGING), freeze(service="api")]
            ),
            LaneState.OPEN,
            "web/production is open; nothing was deployed there yet.",
        ),
    ],
)
def test_one_sentence_says_what_closes_a_lane_and_who_opens_it(
    lane: Facts, state: LaneState, sentence: str
) -> None:
    assert lanes.state(lane) is state
    assert lanes.explain(lane) == sentence


def test_of_several_freezes_the_longest_is_told() -> None:
    short, long = freeze(NOON + HOUR), freeze(NOON + DAY, reason="the holidays")
    assert lanes.explain(facts(freezes=[long, short])) == lanes.explain(facts(freezes=[short, long]))
    assert "the holidays" in lanes.explain(facts(freezes=[short, long]))


# --- what a deployment waits for

ME = deployment(9, "v9")


@pytest.mark.parametrize(
    ("lane", "waiting", "sentence"),
    [
        (facts(queue=[ME]), ME, "It is next and starts at once."),
        (facts(holder=RUNNING, queue=[ME]), ME, "It waits for #4 (v4) in web/production."),
        (
            facts(holder=RUNNING, queue=[deployment(7, "v7"), ME, deployment(10, "v10")]),
            ME,
            "It waits for #4 (v4), #7 (v7) in web/production.",
        ),
        (
            facts(holder=RUNNING, queue=[*(deployment(n, f"v{n}") for n in (5, 6, 7, 8)), ME]),
            ME,
            "It waits for #4 (v4), #5 (v5), #6 (v6) and 2 more in web/production.",
        ),
        (
            facts(queue=[ME, deployment(10, "v2", kind=Kind.ROLLBACK)]),
            ME,
            "It waits for #10 (v2) in web/production.",
        ),
        (
            facts(holder=RUNNING),
            deployment(9, not_before=NOON + HOUR),
            "It starts at 15:13 UTC.",
        ),
        (facts(lock=lock()), ME, lanes.explain(facts(lock=lock()))),
        (facts(freezes=[freeze()]), ME, lanes.explain(facts(freezes=[freeze()]))),
    ],
)
def test_a_hold_says_in_one_sentence_what_is_waited_for(
    lane: Facts, waiting: Deployment, sentence: str
) -> None:
    assert lanes.hold(lane, waiting) == sentence


def test_what_waits_only_for_an_automatic_lock_to_let_its_rollback_pass_holds_nothing() -> None:
    back = deployment(9, "v2", kind=Kind.ROLLBACK)
    closed = facts(lock=lock(automatic=True), holder=back, queue=[back])
    assert lanes.hold(closed, back) == "It is next and starts at once."


# --- who is admitted


@pytest.mark.parametrize(
    ("kind", "override", "closing", "admitted"),
    [
        (Kind.DEPLOY, None, {}, True),
        (Kind.DEPLOY, None, {"lock": lock(automatic=True)}, False),
        (Kind.DEPLOY, "I must", {"lock": lock()}, False),
        (Kind.REDEPLOY, "I must", {"freezes": [freeze()]}, False),
        (Kind.ROLLBACK, None, {"lock": lock(automatic=True)}, True),
        (Kind.ROLLBACK, None, {"lock": lock()}, False),
        (Kind.ROLLBACK, "I must", {"lock": lock()}, True),
        (Kind.ROLLBACK, None, {"freezes": [freeze()]}, False),
        (Kind.ROLLBACK, "I must", {"freezes": [freeze()], "lock": lock()}, True),
        (Kind.ROLLBACK, None, {"lock": lock(until=NOON)}, True),
    ],
)
def test_only_a_rollback_passes_and_what_a_hand_closed_only_with_a_reason(
    kind: Kind, override: str | None, closing: dict[str, Any], admitted: bool
) -> None:
    assert lanes.admits(facts(**closing), deployment(kind=kind, override=override)) is admitted


def test_the_moments_are_those_at_which_something_opens_by_itself() -> None:
    lane = facts(
        lock=lock(until=NOON + 1),
        freezes=[freeze(NOON + 2)],
        queue=[deployment(1, not_before=NOON + 3), deployment(2, not_before=NOON - 3), deployment(3)],
    )
    assert lanes.moments(lane) == [NOON + 1, NOON + 2, NOON + 3]
    assert lanes.moments(facts(lock=lock(until=NOON))) == []


# --- the queue

queued = st.builds(
    deployment,
    st.integers(1, 30),
    kind=st.sampled_from(Kind),
    queued_at=st.integers(NOON - 5, NOON + 5),
    not_before=st.none() | st.integers(NOON - 2, NOON + 2),
    override=st.none() | st.just("I must"),
)
queues = st.lists(queued, max_size=8, unique_by=lambda found: found.number)
closings = st.fixed_dictionaries(
    {
        "lock": st.none() | st.builds(lock, automatic=st.booleans(), until=st.integers(NOON - 1, NOON + 1)),
        "freezes": st.lists(st.builds(freeze, until=st.integers(NOON - 1, NOON + 1)), max_size=2),
    }
)


@given(queue=queues, closing=closings)
def test_next_is_the_first_of_those_that_are_due_and_admitted(
    queue: Sequence[Deployment], closing: dict[str, Any]
) -> None:
    lane = facts(queue=queue, **closing)
    chosen = lanes.next_up(lane)
    due = [d for d in queue if (d.not_before or 0) <= NOON and lanes.admits(lane, d)]
    rollbacks = [d for d in due if d.kind is Kind.ROLLBACK]
    if chosen is None:
        assert due == []
        return
    assert chosen in due
    rivals = rollbacks or due
    assert chosen in rivals
    assert all((chosen.queued_at, chosen.number) <= (d.queued_at, d.number) for d in rivals)
    if lanes.state(lane).closed:
        assert chosen.kind is Kind.ROLLBACK


@given(queue=queues, closing=closings, status=st.sampled_from([Status.BUILDING, Status.DEPLOYING]))
def test_nobody_is_next_while_somebody_holds_the_lane(
    queue: Sequence[Deployment], closing: dict[str, Any], status: Status
) -> None:
    assert lanes.next_up(facts(queue=queue, holder=deployment(99, status=status), **closing)) is None


@given(queue=queues, closing=closings)
def test_a_holder_that_waits_lets_nobody_pass(queue: Sequence[Deployment], closing: dict[str, Any]) -> None:
    back = deployment(99, kind=Kind.ROLLBACK)
    lane = facts(queue=[*queue, back], holder=back, **closing)
    assert lanes.next_up(lane) in (None, back)
    assert (lanes.next_up(lane) is back) is lanes.admits(lane, back)


@given(queue=queues, closing=closings)
def test_it_is_next_exactly_when_its_hold_says_so(
    queue: Sequence[Deployment], closing: dict[str, Any]
) -> None:
    ready = [found.model_copy(update={"not_before": None}) for found in queue]
    lane = facts(queue=ready, **closing)
    if not lanes.state(lane).closed:
        says = [found for found in ready if lanes.hold(lane, found) == "It is next and starts at once."]
        assert says == [found for found in (lanes.next_up(lane),) if found is not None]


# --- when those who wait would start


def test_those_who_wait_start_one_after_the_other_as_long_as_each_lasts() -> None:
    queue = [deployment(1), deployment(2, "v2"), deployment(3, "v3")]
    starts = lanes.starts(facts(queue=queue), NOON + 10 * SECOND, lambda waits: 5.0 * waits.number)
    assert starts == {"id-1": NOON + 10 * SECOND, "id-2": NOON + 15 * SECOND, "id-3": NOON + 25 * SECOND}


def test_nobody_says_when_what_follows_an_unknown_run_starts() -> None:
    queue = [deployment(1), deployment(2, "v2")]
    assert lanes.starts(facts(queue=queue), None, lambda _: 5.0) == {}
    assert lanes.starts(facts(queue=queue), NOON, lambda _: None) == {"id-1": NOON}


def test_a_rollback_starts_first_and_does_not_wait_for_an_automatic_lock() -> None:
    queue = [deployment(1), deployment(2, "v2", kind=Kind.ROLLBACK)]
    starts = lanes.starts(facts(queue=queue, lock=lock(automatic=True)), NOON, lambda _: 5.0)
    assert starts == {"id-2": NOON, "id-1": NOON + HOUR}


def test_one_that_is_put_off_is_overtaken_and_starts_at_its_time() -> None:
    queue = [deployment(1, not_before=NOON + HOUR), deployment(2, "v2")]
    starts = lanes.starts(facts(queue=queue), NOON, lambda _: 5.0)
    assert starts == {"id-2": NOON, "id-1": NOON + HOUR}


def test_a_freeze_puts_everybody_off_until_its_end() -> None:
    starts = lanes.starts(facts(queue=[deployment(1)], freezes=[freeze()]), NOON, lambda _: 5.0)
    assert starts == {"id-1": NOON + DAY}


def test_of_a_long_queue_only_the_first_hundred_are_told() -> None:
    queue = [deployment(number) for number in range(1, 200)]
    assert len(lanes.starts(facts(queue=queue), NOON, lambda _: 1.0)) == lanes.MOST_WAITING
