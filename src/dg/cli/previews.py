"""`dg plan`, and what `dg rollback` shows before it asks: what would happen, and the verdict last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from dg.cli.errors import ExitCode
from dg.cli.options import Command, Invocation, pass_invocation
from dg.cli.output import Meaning, Output, Text
from dg.cli.params import ENVIRONMENT, Moment
from dg.client.words import duration

if TYPE_CHECKING:
    from dg.core.deployments.models import FileChanges
    from dg.core.deployments.pipeline import PlannedStep
    from dg.core.deployments.previews import (
        Artefact,
        Consequence,
        Objection,
        PastRollbacks,
        Preview,
        RollbackPreview,
    )
    from dg.core.types import Environment

FILES_SHOWN = 10


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg plan web --env production
  dg plan web v1.4.2 --env staging && dg deploy web v1.4.2 --env staging""",
)
@click.argument("service")
@click.argument("ref", required=False)
@click.option("--env", "environment", type=ENVIRONMENT, required=True, help="Where to.")
@click.option("--version", help="What it would be called; the short commit when left out.")
@click.option(
    "--at", "not_before", type=Moment(), help="Not before this time: 22:00, 2h, or 2026-11-27T09:00Z."
)
@pass_invocation
def plan(
    invocation: Invocation,
    service: str,
    ref: str | None,
    environment: Environment,
    version: str | None,
    not_before: int | None,
) -> int:
    """Show what deploying REF would do, and what stands in its way.

    Nothing is started. REF is a branch, tag or commit; the pipeline's own branch when left out. Exits with 3
    when the deployment would be refused.
    """
    from dg.cli.remote import record, request, server
    from dg.core.deployments.models import CreateDeployment

    asked = request(
        CreateDeployment,
        environment=environment,
        service=service,
        ref=ref,
        version=version,
        not_before=not_before,
    )
    with server(invocation) as dg:
        found = dg.run(dg.client.deployments.preview(asked))
    if invocation.json:
        record(invocation.output, found)
    else:
        print_preview(found, invocation.output)
    return ExitCode.REFUSED if found.verdict.value == "refused" else ExitCode.OK


def print_preview(preview: Preview, output: Output) -> None:
    """What it would run, bring, need and wait for, and whether it may."""
    from dg.cli.show import print_gates
    from dg.cli.words import commits, labelled, let_in

    what = f"{preview.kind.value} {preview.service} {labelled(preview.version, preview.commit_sha)}"
    over = [(f"over {preview.current_version}", Meaning.DIM)] if preview.current_version else []
    output.line((what, Meaning.STRONG), "→", (preview.environment.value, Meaning.STRONG), *over)
    _print_steps(preview.steps, preview.expected, output)
    _print_rows("COMMITS", commits(preview.changes), output)
    if preview.files and preview.files.total:
        counts = f"FILES {preview.files.total} +{preview.files.added} -{preview.files.removed}"
        _print_rows(counts, _files(preview.files), output)
    if preview.source and preview.credential:
        output.line()
        output.line(("git by", Meaning.DIM), *let_in(preview.source, preview.credential))
    print_gates(preview.gates, output)
    output.line()
    if preview.objections:
        _print_sentences("fail", preview.objections, output)
    else:
        output.line(*_verdict(preview, output))


def _verdict(preview: Preview, output: Output) -> Iterator[Text]:
    from dg.cli.words import moment

    waits = preview.verdict.value == "waits"
    yield output.glyph("pending" if waits else "ok")
    yield preview.sentence
    if waits and preview.estimated_start is not None:
        yield f"It would start about {moment(preview.estimated_start)}.", Meaning.DIM


def print_rollback(preview: RollbackPreview, output: Output) -> None:
    """Where it would go, what it would undo, what it needs, and whether it may."""
    from dg.cli.words import commits, version

    where = (f"{preview.service} in {preview.environment.value}", Meaning.STRONG)
    if preview.undoes and preview.target:
        output.line(
            "roll back",
            where,
            "from",
            version(preview.undoes),
            "to",
            (version(preview.target), Meaning.STRONG),
        )
        _print_steps(preview.steps, preview.expected, output)
        if preview.changes:
            _print_rows("COMMITS that go away (-) and come back (+)", commits(preview.changes), output)
        output.line()
        output.table([[(name, Meaning.DIM), value] for name, value in _facts(preview)])
        output.line()
    else:
        output.line("roll back", where)
    _print_sentences("fail" if preview.verdict.value == "refused" else "warn", preview.objections, output)
    _print_sentences("warn", preview.doubts, output)
    _print_sentences("locked", preview.afterwards, output)
    if preview.verdict.value == "safe":
        output.line(output.glyph("ok"), preview.sentence)


def _facts(preview: RollbackPreview) -> Iterator[tuple[str, Text]]:
    if preview.crosses:
        yield "crosses", (f"{', '.join(preview.crosses)}: cannot be undone", Meaning.WARN)
    if preview.settings_leaving:
        yield "settings that go", ", ".join(preview.settings_leaving)
    if preview.settings_returning:
        yield "settings that come back", ", ".join(preview.settings_returning)
    if preview.artefact:
        yield "artefact", _artefact(preview.artefact)
    yield "past rollbacks", _past(preview.past)


def _artefact(artefact: Artefact) -> Text:
    commit = "commit kept" if artefact.commit_kept else "commit gone"
    readable = "pipeline readable" if artefact.pipeline_readable else "pipeline not readable"
    outputs = ", ".join(f"{name} {value}" for name, value in artefact.outputs.items())
    missing = ", ".join(f"no {name}" for name in artefact.outputs_missing)
    return ", ".join(filter(None, (commit, readable, outputs or "no outputs", missing)))


def _past(past: PastRollbacks) -> Text:
    from dg.cli.remote import now
    from dg.cli.words import ago

    if not past.count or past.last is None:
        return "none in this lane yet", Meaning.DIM
    took = f"{duration(past.p50)} at the median, " if past.p50 is not None else ""
    return (
        f"{past.count}, {took}the last one {past.last.value.replace('_', ' ')} {ago(past.last_at, now())} ago"
    )


def _print_steps(steps: Sequence[PlannedStep], expected: float | None, output: Output) -> None:
    rows: list[list[Text]] = [
        [
            step.phase,
            step.name,
            _takes(step),
            ", ".join(_marks(step)),
            " ".join(step.text.split()),
        ]
        for step in steps
    ]
    if not rows:
        return
    output.line()
    output.table(rows, header=("PHASE", "STEP", "TIME", "", "RUNS"))
    if expected is not None and len(steps) > 1:
        output.line((f"about {duration(expected)} in all", Meaning.DIM))


def _takes(step: PlannedStep) -> str:
    """By experience, else the most that it may take."""
    return (
        f"at most {duration(step.timeout)}" if step.expected is None else f"about {duration(step.expected)}"
    )


def _marks(step: PlannedStep) -> list[str]:
    return [
        *(f"secret {name}" for name in step.secrets),
        *(["cannot be undone"] if not step.reversible else []),
        *([f"as {step.user}"] if step.user else []),
        *(["no network"] if not step.network else []),
        *(_limit(name, value) for name, value in step.limits.items()),
    ]


def _limit(name: str, value: float) -> str:
    from dg.settings.units import format_size

    if name in ("memory", "file_size"):
        return f"{name.replace('_', ' ')} ≤ {format_size(int(value))}"
    return f"{name.replace('_', ' ')} ≤ {value:g}"


def _files(changed: FileChanges) -> list[list[Text]]:
    shown = changed.files[:FILES_SHOWN]
    rows: list[list[Text]] = [
        [
            ("" if file.added is None else f"+{file.added}", Meaning.OK),
            ("" if file.removed is None else f"-{file.removed}", Meaning.ERR),
            file.path,
        ]
        for file in shown
    ]
    if changed.total > len(shown):
        rows.append(["", "", (f"and {changed.total - len(shown)} more", Meaning.DIM)])
    return rows


def _print_rows(title: str, rows: Sequence[Sequence[Text]], output: Output) -> None:
    if rows:
        output.line()
        output.line((title, Meaning.DIM))
        output.table(rows)


def _print_sentences(glyph: str, said: Sequence[Objection | Consequence], output: Output) -> None:
    for each in said:
        output.line(output.glyph(glyph), each.sentence)
