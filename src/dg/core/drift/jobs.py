"""What happens by itself: looking for drift."""

from __future__ import annotations

from dg.core.drift.watch import Watch
from dg.core.jobs import Every, Job

_LOOK = 5.0
"""Seconds; less than the shortest interval of a check."""


def jobs(watch: Watch) -> tuple[Job, ...]:
    return (Job("drift.look", Every(_LOOK), watch.look),)
