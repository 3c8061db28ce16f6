"""`dg pipeline`: checking, registering and reading the TOML files that say how a service is deployed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dg.cli.errors import ExitCode
from dg.cli.init import init
from dg.cli.options import Group, Invocation, pass_invocation
from dg.cli.output import Meaning, Output, Text
from dg.cli.previews import plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dg.core.deployments.models import RegisteredPipeline

LARGEST = 64 << 10
FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default="dg.toml")


@click.command(cls=Group)
def pipeline() -> None:
    """Write, check and register how a service is deployed."""


pipeline.add_command(init)
pipeline.add_command(plan)


@pipeline.command()
@FILE
@pass_invocation
def lint(invocation: Invocation, file: Path) -> int:
    """Check FILE (dg.toml) here; nothing is sent."""
    from dg.core.deployments.pipeline import lint as findings_of
    from dg.core.deployments.pipeline import parse

    found = findings_of(parse(text_of(file)))
    output = invocation.output
    for finding in found:
        if output.json:
            output.record({"level": finding.level, "field": finding.field, "message": finding.message})
        else:
            output.line(
                output.glyph("fail" if finding.level == "error" else "warn"),
                (finding.field or str(file), Meaning.STRONG),
                finding.message,
            )
    if not found and not output.json:
        output.line(output.glyph("ok"), f"{file} is fine")
    return ExitCode.USAGE if any(finding.level == "error" for finding in found) else ExitCode.OK


@pipeline.command()
@FILE
@pass_invocation
def register(invocation: Invocation, file: Path) -> None:
    """Make FILE (dg.toml) the pipeline of the service it names."""
    from dg.cli.remote import record, server

    text = text_of(file)
    with server(invocation) as dg:
        made = dg.run(dg.client.pipelines.register(text))
    output = invocation.output
    if output.json:
        record(output, made)
    else:
        output.line(output.glyph("ok"), f"{made.service} is at revision {made.revision}")
        output.line(("  try it:", Meaning.DIM), f"dg plan {made.service} --env development")


@pipeline.command()
@click.argument("service")
@pass_invocation
def show(invocation: Invocation, service: str) -> None:
    """Print the pipeline of SERVICE as it is registered."""
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        found = dg.run(dg.client.pipelines.get(service))
    if invocation.json:
        record(invocation.output, found)
    else:
        click.echo(found.text, nl=not found.text.endswith("\n"))


@pipeline.command()
@click.argument("service")
@pass_invocation
def source(invocation: Invocation, service: str) -> None:
    """Ask the repository of SERVICE as a deployment would.

    Says which key or token of the server's settings it was let in with.
    """
    from dg.cli.remote import record, server
    from dg.cli.words import let_in

    with server(invocation) as dg:
        found = dg.run(dg.client.pipelines.source(service))
    output = invocation.output
    if output.json:
        record(output, found)
        return
    output.line(output.glyph("ok"), (found.git, Meaning.STRONG), f"{found.ref} is {found.commit_sha[:7]}")
    if found.source and found.credential:
        output.line("  by", *let_in(found.source, found.credential))
    else:
        output.line("  by no key or token of the server's settings")


@pipeline.command()
@click.argument("service")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="At most so many.")
@pass_invocation
def history(invocation: Invocation, service: str, limit: int) -> None:
    """List the revisions of a pipeline, newest first."""
    from dg.cli.remote import server

    with server(invocation) as dg:
        page = dg.run(dg.client.pipelines.history(service, limit=limit))
    _print_revisions(page.items, invocation.output)


@pipeline.command("list")
@pass_invocation
def list_pipelines(invocation: Invocation) -> None:
    """List the registered services."""
    from dg.cli.remote import server

    with server(invocation) as dg:
        found = dg.run(dg.client.pipelines.list())
    _print_revisions(found, invocation.output)


def _print_revisions(revisions: Sequence[RegisteredPipeline], output: Output) -> None:
    from dg.cli.remote import now, record
    from dg.cli.words import NOTHING_REGISTERED, ago

    if output.json:
        for each in revisions:
            record(output, each)
        return
    if not revisions:
        output.line(*NOTHING_REGISTERED)
        return
    rows: list[list[Text]] = [
        [
            each.service,
            str(each.revision),
            ago(each.registered_at, now()),
            each.registered_by,
            (each.sha256[:12], Meaning.DIM),
        ]
        for each in revisions
    ]
    output.table(rows, header=("SERVICE", "REVISION", "AGE", "BY", "SHA-256"))


def text_of(file: Path) -> str:
    """A pipeline's text; `-` is standard input. Raises Invalid for what cannot be one."""
    from dg.core.errors import Invalid

    try:
        data = sys.stdin.buffer.read(LARGEST + 1) if str(file) == "-" else _head(file)
        if len(data) > LARGEST:
            raise Invalid(f"{file} is larger than {LARGEST >> 10} KiB; a pipeline is a short text")
        return data.decode()
    except FileNotFoundError:
        raise Invalid(f"{file} is not here; `dg init` writes a first one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{file} cannot be read as text: {error}") from None


def _head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(LARGEST + 1)
