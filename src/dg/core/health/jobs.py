"""What happens to health by itself, beside the watch: results that are too old are forgotten."""

from __future__ import annotations

from dg.core.health.recorder import Recorder
from dg.core.jobs import Every, Job

_MINUTE = 60.0


def jobs(recorder: Recorder) -> tuple[Job, ...]:
    """The domain's jobs, for `core/app.py`."""
    # So often that each run has little to remove.
    return (Job("health.forget_results", Every(_MINUTE), recorder.prune),)
