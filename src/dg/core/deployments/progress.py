"""How far a deployment is and when it will be done, from what its steps took before."""

from __future__ import annotations

from collections.abc import Sequence

from dg.core.clock import SECOND
from dg.core.deployments.models import FINAL, Deployment, Status, Step, StepStatus

_MOST_OF_A_STEP = 0.95
"""A step that takes longer than it used to stays here, so that progress never says done too early."""


def percent(deployment: Deployment, steps: Sequence[Step], now: int) -> float:
    """0 to 100. Ended well is 100; a failed one stays where it stopped."""
    if deployment.status is Status.SUCCESS or (
        deployment.status is Status.ROLLED_BACK and deployment.reason is None
    ):
        return 100.0
    if not steps:
        return 0.0
    weights = _weights(steps)
    done = sum(weight * _share(step, now) for step, weight in zip(steps, weights, strict=True))
    return round(min(done / sum(weights) * 100.0, 99.0), 1)


def estimate(deployment: Deployment, steps: Sequence[Step], now: int) -> int | None:
    """When it will be done (microseconds); None without a history, or when it is not running."""
    running = deployment.started_at is not None and deployment.status not in FINAL
    if not running or not steps or any(step.expected is None for step in steps):
        return None
    left = sum((step.expected or 0.0) * (1.0 - _share(step, now)) for step in steps)
    return now + int(left * SECOND)


def _weights(steps: Sequence[Step]) -> list[float]:
    known = [step.expected for step in steps if step.expected is not None]
    usual = sum(known) / len(known) if known else 1.0
    return [max(step.expected if step.expected is not None else usual, 0.001) for step in steps]


def _share(step: Step, now: int) -> float:
    if step.status in (StepStatus.SUCCESS, StepStatus.SKIPPED):
        return 1.0
    if step.status is not StepStatus.RUNNING or step.started_at is None:
        return 0.0
    taken = max(0.0, (now - step.started_at) / SECOND)
    return min(taken / step.expected, _MOST_OF_A_STEP) if step.expected else 0.0
