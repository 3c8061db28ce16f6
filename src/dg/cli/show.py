"""The page of `dg show`: one deployment in full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dg.cli.output import Meaning, Output, Text
from dg.cli.words import commits, moment, outcome, took, version, who
from dg.client.words import duration

if TYPE_CHECKING:
    from dg.core.deployments.models import Approval, Changes, Deployment, Gate, Step
    from dg.core.health.models import EnvironmentHealth


def print_deployment(deployment: Deployment, steps: Sequence[Step], changes: Changes, output: Output) -> None:
    """What it is, who let it pass, how its steps went, which commits it brings."""
    output.line(*outcome(deployment, output))
    output.line()
    output.table([[(name, Meaning.DIM), value] for name, value in facts(deployment)])
    print_gates(deployment.gates or (), output)
    if deployment.approvals:
        output.line()
        output.table([_decision(each) for each in deployment.approvals], header=("DECISION", "BY", "AT", ""))
    if steps:
        output.line()
        output.table([_step(step, output) for step in steps], header=("STEP", "PHASE", "STATE", "TOOK", ""))
    if rows := commits(changes):
        output.line()
        output.line((f"COMMITS since {changes.base[:7]}" if changes.base else "COMMITS", Meaning.DIM))
        output.table(rows)


def print_suspicion(deployment: Deployment, health: EnvironmentHealth, output: Output) -> None:
    """That a service became worse shortly after it had begun; nothing where none did."""
    for service in health.services:
        if service.suspect is not None and service.suspect.deployment == deployment.id:
            said = f": {service.message}" if service.message else ""
            output.line()
            output.line(
                output.glyph(service.status.value),
                f"{service.name} is {service.status.value} since shortly after it began{said}",
            )


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
        ("content", deployment.content),
        ("note", deployment.note),
        ("override", deployment.override),
        ("rollback of", deployment.rollback_of),
        ("goes back to", deployment.target),
        ("undone by", deployment.rolled_back_by),
        ("retry of", deployment.retry_of),
        ("from step", deployment.from_step),
        *((f"output {name}", value) for name, value in deployment.outputs.items()),
    ]
    yield from ((name, value) for name, value in by_hand if value)


def print_gates(gates: Sequence[Gate], output: Output) -> None:
    """What must be true before it may take its lane, as it stands; nothing where nothing is demanded."""
    if gates:
        output.line()
        output.table([_gate(gate, output) for gate in gates], header=("GATE", "STATE", ""), whole=True)


def _gate(gate: Gate, output: Output) -> list[Text]:
    state = "passed" if gate.overridden_by else "open" if gate.open else "closed"
    return [gate.name, output.status(state), gate.sentence]


def _decision(approval: Approval) -> list[Text]:
    what = f"passed {approval.gate}" if approval.gate else approval.verdict.value
    said = f"void: {approval.void_reason}" if approval.voided_at else approval.note or ""
    meaning = Meaning.DIM if approval.voided_at else Meaning.STRONG
    return [(what, meaning), approval.by_name or approval.by, moment(approval.at), said]


def _step(step: Step, output: Output) -> list[Text]:
    name = step.name if step.reversible else f"{step.name} (cannot be undone)"
    seconds = "" if step.seconds is None else duration(step.seconds)
    return [name, step.phase, output.status(step.status.value), seconds, step.detail or ""]
