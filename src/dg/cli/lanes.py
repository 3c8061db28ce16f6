"""`dg why`, `dg lane`, `dg freeze`, `dg thaw`: what closes a lane, and opening it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dg.cli.errors import ExitCode
from dg.cli.options import Command, Group, Invocation, pass_invocation
from dg.cli.output import Meaning, Output, Text
from dg.cli.params import ENVIRONMENT, Span

if TYPE_CHECKING:
    from dg.core.deployments.models import Block, Freeze, Lane, Waiting
    from dg.core.types import Environment

SERVICE = click.argument("service")
WHERE = click.argument("environment", type=ENVIRONMENT)
FOR = click.option("--for", "lasting", type=Span(), required=True, help="How long: 30m, 2h, 1d.")
REASON = click.option("--reason", required=True, help="Why; everybody who is stopped by it reads this.")


@click.command(cls=Group)
def lane() -> None:
    """Show, lock and unlock lanes: one service in one environment."""


@click.command(
    cls=Command,
    epilog="""\b
Example:
  dg why web production && dg deploy web main --env production""",
)
@SERVICE
@WHERE
@pass_invocation
def why(invocation: Invocation, service: str, environment: Environment) -> int:
    """Say what closes a lane, and who waits there.

    Exits with 3 when it takes nothing new.
    """
    from dg.cli.remote import server
    from dg.client.wire import encode

    with server(invocation) as dg:
        found = dg.run(dg.client.lanes.get(service, environment))
        queue = dg.run(dg.client.lanes.queue(service, environment))
    output = invocation.output
    if output.json:
        output.record({"lane": encode(found), "queue": [encode(each) for each in queue]})
    else:
        _print(found, output)
        output.table([_waits(each) for each in queue])
    return ExitCode.REFUSED if found.state.closed else ExitCode.OK


def _waits(waiting: Waiting) -> list[Text]:
    from dg.cli.words import moment, version

    deployment = waiting.deployment
    starts = f"about {moment(waiting.estimated_start)}" if waiting.estimated_start else ""
    return [
        f"{waiting.position}.",
        f"#{deployment.number}",
        version(deployment),
        (starts, Meaning.DIM),
        deployment.hold or "",
    ]


@lane.command("list")
@click.argument("service", required=False)
@click.option("--env", "environment", type=ENVIRONMENT, help="Only this environment.")
@pass_invocation
def list_lanes(invocation: Invocation, service: str | None, environment: Environment | None) -> None:
    """List lanes with their state."""
    from dg.cli.remote import record, server
    from dg.cli.words import NOTHING_REGISTERED, running

    with server(invocation) as dg:
        lanes = dg.run(dg.client.lanes.list(service=service, environment=environment))
    output = invocation.output
    if output.json:
        for each in lanes:
            record(output, each)
        return
    if not lanes:
        output.line(*NOTHING_REGISTERED)
        return
    rows: list[list[Text]] = [
        [each.service, each.environment.value, running(each), output.status(each.state.value)]
        for each in lanes
    ]
    output.table(rows, header=("SERVICE", "ENVIRONMENT", "RUNS", "LANE"))


@lane.command()
@SERVICE
@WHERE
@pass_invocation
def show(invocation: Invocation, service: str, environment: Environment) -> None:
    """Show one lane: what runs there, and what closes it."""
    from dg.cli.remote import server

    with server(invocation) as dg:
        _print(dg.run(dg.client.lanes.get(service, environment)), invocation.output)


@lane.command(
    epilog="""\b
Example:
  dg lane lock web production --for 2h --reason "sale starts at noon\""""
)
@SERVICE
@WHERE
@FOR
@REASON
@pass_invocation
def lock(invocation: Invocation, service: str, environment: Environment, lasting: str, reason: str) -> None:
    """Close a lane: nothing is deployed there until it opens again."""
    from dg.cli.remote import server

    with server(invocation) as dg:
        _print(
            dg.run(dg.client.lanes.lock(service, environment, reason=reason, lasting=lasting)),
            invocation.output,
        )


@lane.command()
@SERVICE
@WHERE
@click.option("--reason", help="Why; kept in the history.")
@pass_invocation
def unlock(invocation: Invocation, service: str, environment: Environment, reason: str | None) -> None:
    """Open a locked lane."""
    from dg.cli.remote import server

    with server(invocation) as dg:
        _print(dg.run(dg.client.lanes.unlock(service, environment, reason=reason)), invocation.output)


@lane.command()
@SERVICE
@WHERE
@pass_invocation
def blocks(invocation: Invocation, service: str, environment: Environment) -> None:
    """List the versions that may not come to a lane."""
    from dg.cli.remote import record, server
    from dg.cli.words import moment

    with server(invocation) as dg:
        found = dg.run(dg.client.lanes.blocks(service, environment))
    output = invocation.output
    if output.json:
        for each in found:
            record(output, each)
        return
    if not found:
        output.line(f"nothing is blocked in {service}/{environment.value}")
        return
    rows: list[list[Text]] = [
        [each.version, (each.commit_sha[:12], Meaning.DIM), moment(each.at), each.reason] for each in found
    ]
    output.table(rows, header=("VERSION", "COMMIT", "SINCE", "WHY"))


@lane.command(
    epilog="""\b
Example:
  dg lane block web production 2.14.0 --reason "orders are charged twice\""""
)
@SERVICE
@WHERE
@click.argument("version")
@REASON
@pass_invocation
def block(invocation: Invocation, service: str, environment: Environment, version: str, reason: str) -> None:
    """Keep VERSION (deployed, or a branch, tag or commit) out of a lane."""
    from dg.cli.remote import server

    with server(invocation) as dg:
        made = dg.run(dg.client.lanes.block(service, environment, version, reason=reason))
    _print_block(made, "warn", "is blocked in", invocation.output)


@lane.command()
@SERVICE
@WHERE
@click.argument("commit")
@click.option("--reason", required=True, help="Why it may come back; kept in the history.")
@pass_invocation
def unblock(invocation: Invocation, service: str, environment: Environment, commit: str, reason: str) -> None:
    """Let a blocked COMMIT (its first 7 digits or more) back into a lane."""
    from dg.cli.remote import server

    with server(invocation) as dg:
        ended = dg.run(dg.client.lanes.unblock(service, environment, commit, reason=reason))
    _print_block(ended, "ok", "may come back to", invocation.output)


def _print_block(block: Block, glyph: str, verb: str, output: Output) -> None:
    from dg.cli.remote import record

    if output.json:
        record(output, block)
    else:
        what = f"{block.version} ({block.commit_sha[:7]})"
        where = f"{block.service}/{block.environment.value}"
        output.line(output.glyph(glyph), f"{what} {verb} {where}")


def _print(lane: Lane, output: Output) -> None:
    from dg.cli.remote import record

    if output.json:
        record(output, lane)
    else:
        output.line(output.glyph(lane.state.value), lane.sentence)


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg freeze --env production --for 12h --reason "nobody is here tonight"
  dg freeze --all --for 30m --reason "the database moves\"""",
)
@click.argument("service", required=False)
@click.option("--env", "environment", type=ENVIRONMENT, help="Lanes of this environment.")
@click.option("--all", "everything", is_flag=True, help="Every lane there is.")
@FOR
@REASON
@pass_invocation
def freeze(
    invocation: Invocation,
    service: str | None,
    environment: Environment | None,
    everything: bool,
    lasting: str,
    reason: str,
) -> None:
    """Close many lanes at once: of SERVICE, of an environment, or all."""
    from dg.cli.remote import record, server
    from dg.cli.words import moment

    if everything == bool(service or environment):
        raise click.UsageError("Say what to freeze: SERVICE, --env or both, or else --all.")
    with server(invocation) as dg:
        made = dg.run(
            dg.client.lanes.freeze(reason=reason, lasting=lasting, service=service, environment=environment)
        )
    output = invocation.output
    if output.json:
        record(output, made)
    else:
        output.line(
            output.glyph("frozen"), f"{_where(made)} frozen until {moment(made.until)}: {made.reason}"
        )
        output.line(("  end it with:", Meaning.DIM), f"dg thaw {made.id}")


@click.command(cls=Command)
@click.argument("id", required=False, metavar="[ID]")
@pass_invocation
def thaw(invocation: Invocation, id: str | None) -> None:  # noqa: A002
    """End one freeze, or all that you may end."""
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        lifted = dg.run(dg.client.lanes.thaw(id))
    output = invocation.output
    for each in lifted:
        if output.json:
            record(output, each)
        else:
            output.line(output.glyph("ok"), f"{_where(each)} thawed: {each.reason}")
    if not lifted and not output.json:
        output.line("nothing is frozen that you may thaw")


def _where(freeze: Freeze) -> str:
    """The lanes that it closes, as the subject of a sentence: `every lane of web is`."""
    if freeze.service and freeze.environment:
        return f"{freeze.service}/{freeze.environment.value} is"
    scope = freeze.service or (freeze.environment and freeze.environment.value)
    return f"every lane of {scope} is" if scope else "every lane is"
