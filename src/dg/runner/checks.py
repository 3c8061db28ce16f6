"""Repeats a check until it was good for long enough, or the step's time is over."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import NamedTuple

from dg.runner.outcome import Outcome, failure, seconds
from dg.runner.ticket import Check, Step

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_SENTENCE_LIMIT = 300
_OUTPUT_BYTES = 65_536


class Attempt(NamedTuple):
    """One try; `stopped` is why it did not finish, `printed` what a command printed, for the log. `final`:
    whatever comes, the check has failed."""

    good: bool
    sentence: str
    stopped: str | None = None
    left: int = 0
    printed: bytes = b""
    final: bool = False


class Tail:
    """An output that keeps the last 64 KiB."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data = (self.data + data)[-_OUTPUT_BYTES:]

    def due(self) -> float | None:
        return None

    def flush(self) -> None:
        """Kept in memory only."""


class Watch:
    """One check step while it runs."""

    def __init__(
        self,
        step: Step,
        check: Check,
        attempt: Callable[[float], Attempt],
        pause: Callable[[float], None],
        cancelled: Callable[[], bool],
        report: Callable[[Attempt], None],
    ) -> None:
        self._step = step
        self._check = check
        self._attempt = attempt
        self._pause = pause
        self._cancelled = cancelled
        self._report = report
        self._deadline = time.monotonic() + step.timeout
        self._good_since: float | None = None
        self._attempts = 0

    def run(self) -> Outcome:
        """Blocks until the check passed, failed for good or was cancelled."""
        last: Attempt | None = None
        while True:
            before, last = last, self._next(last)
            if before is None or (last.good, last.sentence) != (before.good, before.sentence):
                self._report(last)
            end = self._judge(last)
            if end:
                return end._replace(left=last.left)
            self._sleep()

    def _next(self, before: Attempt | None) -> Attempt:
        """Another attempt. One that the end of the step cut short says nothing new."""
        self._attempts += 1
        left = self._deadline - time.monotonic()
        tried = self._attempt(max(0.05, min(self._check.timeout, left)))
        cut_short = tried.stopped == "timeout" and time.monotonic() >= self._deadline
        return before if before and cut_short and not tried.left else tried

    def _judge(self, last: Attempt) -> Outcome | None:
        now = time.monotonic()
        if last.stopped == "cancelled" or self._cancelled():
            return failure(
                self._step, "cancelled", f"step `{self._step.name}` was cancelled; last: {last.sentence}"
            )
        if last.left:
            return failure(
                self._step, "step_failed", f"{last.left} processes of the check could not be killed"
            )
        if last.final:
            return failure(self._step, "step_failed", f"check `{self._step.name}` failed: {last.sentence}")
        if not last.good:
            self._good_since = None
        elif self._good_since is None:
            self._good_since = now
        if self._good_since is not None and now - self._good_since >= self._check.hold:
            return Outcome(True, None, f"{last.sentence} (attempt {self._attempts})")
        return self._too_late(last, now) if now >= self._deadline else None

    def _too_late(self, last: Attempt, now: float) -> Outcome:
        text = f"check `{self._step.name}` did not pass within {seconds(self._step.timeout)}: {last.sentence}"
        if self._good_since is not None:
            good, wanted = f"{now - self._good_since:.1f} s", seconds(self._check.hold)
            text += f", good for {good} of the {wanted} wanted"
        return failure(self._step, "timeout", text)

    def _sleep(self) -> None:
        now = time.monotonic()
        until = min(now + self._check.every, self._deadline)
        if self._good_since is not None:
            until = min(until, self._good_since + self._check.hold)
        while (left := until - time.monotonic()) > 0 and not self._cancelled():
            self._pause(left)


def sentence(data: bytes) -> str:
    """The last line of an attempt's output, fit for a sentence: whatever answered may have sent anything."""
    lines = data.decode("utf-8", "replace").strip().splitlines()
    text = _CONTROL.sub(" ", lines[-1]).strip() if lines else ""
    return text if len(text) <= _SENTENCE_LIMIT else text[:_SENTENCE_LIMIT] + "…"
