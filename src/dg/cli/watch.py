"""Watching a deployment to its end, and the rollback that dg starts when it failed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dg.cli.errors import ExitCode
from dg.cli.output import Meaning, Output
from dg.cli.progress import View
from dg.cli.remote import now, record
from dg.cli.words import outcome

if TYPE_CHECKING:
    from dg.client.sync import Blocking
    from dg.core.deployments.models import Deployment


def watch(dg: Blocking, deployment: Deployment, output: Output) -> int:
    """Show it until it has ended, then its rollback, and say how it ended; the exit code tells the same."""
    try:
        ended = _to_its_end(dg, deployment, output)
        undone = _rollback_of(dg, ended) if ended.status.value != "success" else None
        if undone is not None:
            undone = _to_its_end(dg, undone, output)
            ended = dg.run(dg.client.deployments.get(ended.id))
    except KeyboardInterrupt:
        words = output.to(sys.stderr)
        words.line(
            (f"{deployment.service} {deployment.version} goes on", Meaning.WARN), "without you watching;"
        )
        words.line("  stop it with:", f"dg cancel {deployment.id}")
        return ExitCode.INTERRUPTED
    if output.json:
        record(output, ended)
    else:
        output.line(*outcome(ended, output))
        if undone is not None:
            output.line(*outcome(undone, output))
    return ExitCode.OK if ended.status.value == "success" else ExitCode.FAILED


def _to_its_end(dg: Blocking, deployment: Deployment, output: Output) -> Deployment:
    last = deployment
    # Under --json standard output is for the result alone.
    with View(output.to(sys.stderr) if output.json else output) as view:
        for progress in dg.each(dg.client.deployments.watch(deployment.id)):
            last = progress.deployment
            if not output.json:
                view.show(progress, now())
    return last


def _rollback_of(dg: Blocking, failed: Deployment) -> Deployment | None:
    """The rollback that undoes `failed`: the lane passed to it in the moment of the failure."""
    recent = dg.run(
        dg.client.deployments.list(service=failed.service, environment=failed.environment.value, limit=20)
    )
    return next((each for each in recent.items if each.rollback_of == failed.id), None)
