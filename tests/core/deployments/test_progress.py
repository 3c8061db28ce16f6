"""How far a deployment is and when it will be done."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.deployments.desk import SECOND
from tests.core.deployments.test_lanes import deployment

from dg.core.deployments.models import Deployment, Reason, Status, Step, StepStatus
from dg.core.deployments.progress import estimate, percent
from dg.core.testing import NOON

RUNNING = deployment(status=Status.DEPLOYING, started_at=NOON)


def step(status: StepStatus = StepStatus.PENDING, expected: float | None = None, **more: Any) -> Step:
    return Step(index=0, name="rollout", phase="deploy", status=status, expected=expected, **more)


@pytest.mark.parametrize(
    ("found", "percentage"),
    [
        (deployment(status=Status.SUCCESS), 100.0),
        (deployment(status=Status.ROLLED_BACK), 100.0),
        (deployment(status=Status.ROLLED_BACK, reason=Reason.VERIFY_FAILED), 50.0),
        (deployment(status=Status.FAILED, reason=Reason.STEP_FAILED), 50.0),
        (RUNNING, 50.0),
    ],
)
def test_only_what_went_well_is_done(found: Deployment, percentage: float) -> None:
    steps = [step(StepStatus.SUCCESS), step(StepStatus.FAILED)]
    assert percent(found, steps, NOON) == percentage


def test_nothing_has_happened_before_there_are_steps() -> None:
    assert percent(deployment(), [], NOON) == 0.0
    assert estimate(deployment(), [], NOON) is None


def test_steps_weigh_as_much_as_they_used_to_take() -> None:
    steps = [step(StepStatus.SUCCESS, 1.0), step(StepStatus.PENDING, 9.0)]
    assert percent(RUNNING, steps, NOON) == 10.0


def test_a_running_step_moves_with_the_clock_and_never_says_done() -> None:
    steps = [step(StepStatus.RUNNING, 10.0, started_at=NOON)]
    assert percent(RUNNING, steps, NOON + 5 * SECOND) == 50.0
    assert percent(RUNNING, steps, NOON + 500 * SECOND) == 95.0
    assert percent(RUNNING, steps, NOON - 500 * SECOND) == 0.0


def test_the_estimate_is_what_the_remaining_steps_used_to_take() -> None:
    steps = [
        step(StepStatus.SUCCESS, 7.0),
        step(StepStatus.RUNNING, 10.0, started_at=NOON - 4 * SECOND),
        step(StepStatus.PENDING, 3.0),
    ]
    assert estimate(RUNNING, steps, NOON) == NOON + 9 * SECOND


def test_without_a_history_nothing_is_promised() -> None:
    assert estimate(RUNNING, [step(StepStatus.RUNNING, None, started_at=NOON)], NOON) is None


@pytest.mark.parametrize("found", [deployment(), deployment(status=Status.SUCCESS, started_at=NOON)])
def test_what_does_not_run_has_no_estimate(found: Deployment) -> None:
    assert estimate(found, [step(expected=1.0)], NOON) is None


steps_of_any_kind = st.lists(
    st.builds(
        step,
        st.sampled_from(StepStatus),
        st.none() | st.floats(0, 1e6),
        started_at=st.none() | st.integers(NOON - 10**12, NOON + 10**12),
    ),
    max_size=6,
)


@given(steps=steps_of_any_kind, now=st.integers(NOON - 10**12, NOON + 10**12))
def test_what_runs_is_never_done_and_never_in_the_past(steps: list[Step], now: int) -> None:
    assert 0.0 <= percent(RUNNING, steps, now) <= 99.0
    until = estimate(RUNNING, steps, now)
    assert until is None or until >= now
