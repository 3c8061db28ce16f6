"""The page of `dg show`: one deployment in full."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dg.cli.output import Meaning, Output, Text, duration
from dg.cli.words import commits, moment, outcome, took, version, who

if TYPE_CHECKING:
    from dg.core.deployments.models import Changes, Deployment, Progress, Step


def print_deployment(progress: Progress, changes: Changes, output: Output) -> None:
    """What it is, how its steps went, which commits it brings."""
    output.line(*outcome(progress.deployment, output))
    output.line()
    output.table([[(name, Meaning.DIM), value] for name, value in facts(progress.deployment)])
    if progress.steps:
        output.line()
        output.table(
            [_step(step, output) for step in progress.steps], header=("STEP", "PHASE", "STATE", "TOOK", "")
        )
    if rows := commits(changes):
        output.line()
        output.line((f"COMMITS since {changes.base[:7]}" if changes.base else "COMMITS", Meaning.DIM))
        output.table(rows)


def facts(deployment: Deployment) -> Iterator[tuple[str, Text]]:
    """Names and values, those that are not set left out."""
    by_hand = [
        ("id", deployment.id),
        ("number", f"#{deployment.number}"),
        ("kind", deployment.kind.value),
        ("version", version(deployment)),
        ("commit", deployment.commit_sha),
        ("ref", deployment.ref),
        ("environment", deployment.environment.value),
        ("asked by", who(deployment)),
        ("created", moment(deployment.created_at)),
        ("not before", deployment.not_before and moment(deployment.not_before)),
        ("started", deployment.started_at and moment(deployment.started_at)),
        (
            "ended",
            deployment.completed_at
            and f"{moment(deployment.completed_at)}, after {took(deployment) or '0 s'}",
        ),
        ("reason", deployment.reason and deployment.reason.value.replace("_", " ")),
        ("message", deployment.message),
        ("waits for", deployment.hold),
        ("note", deployment.note),
        ("override", deployment.override),
        ("rollback of", deployment.rollback_of),
        ("goes back to", deployment.target),
        ("undone by", deployment.rolled_back_by),
        *((f"output {name}", value) for name, value in deployment.outputs.items()),
    ]
    yield from ((name, value) for name, value in by_hand if value)


def _step(step: Step, output: Output) -> list[Text]:
    name = step.name if step.reversible else f"{step.name} (cannot be undone)"
    seconds = "" if step.seconds is None else duration(step.seconds)
    return [name, step.phase, output.status(step.status.value), seconds, step.detail or ""]
