"""How a step ended, in the words of the events."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import NamedTuple

from dg.runner.supervise import Result
from dg.runner.ticket import Step


class Outcome(NamedTuple):
    """`reason` is None for a good step, else step_failed, timeout, idle, cancelled or verify_failed; `detail`
    says it in one sentence; `left` counts processes that could not be killed."""

    ok: bool
    reason: str | None
    detail: str
    code: int | None = None
    signal: int | None = None
    leftovers: int = 0
    left: int = 0
    outputs: Mapping[str, str] = {}


def failure(step: Step, reason: str, detail: str) -> Outcome:
    """A step that failed for `reason`; a verify step fails as `verify_failed`, whatever went wrong."""
    if step.phase == "verify" and reason != "cancelled":
        reason = "verify_failed"
    return Outcome(False, reason, detail)


def of_process(step: Step, result: Result) -> Outcome:
    """What the end of a step's process means."""
    detail = _detail(step, result)
    if result.left:
        detail += f"; {result.left} of its processes could not be killed"
    ok = result.stopped is None and result.code == 0 and not result.left
    judged = Outcome(True, None, detail) if ok else failure(step, result.stopped or "step_failed", detail)
    return judged._replace(
        code=result.code, signal=result.signal, leftovers=len(result.leftovers), left=result.left
    )


def seconds(value: float) -> str:
    return f"{value:g} s"


def _detail(step: Step, result: Result) -> str:
    name = f"step `{step.name}`"
    if result.stopped == "timeout":
        return f"{name} timed out after {seconds(step.timeout)}"
    if result.stopped == "idle":
        return f"{name} printed nothing for {seconds(step.idle or 0.0)}"
    if result.stopped == "cancelled":
        return f"{name} was cancelled"
    return f"{name} {ended(result)}"


def ended(result: Result) -> str:
    """`exited with 3`, `was killed by SIGSEGV`."""
    if result.signal is None:
        return f"exited with {result.code}" if result.code is not None else "could not be killed"
    try:
        return f"was killed by {signal.Signals(result.signal).name}"
    except ValueError:
        return f"was killed by signal {result.signal}"
