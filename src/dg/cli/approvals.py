"""`dg approve`, `dg reject`, `dg override`, `dg diff`: what people decide about a deployment that waits."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from dg.cli.deployments import find, person_is_there
from dg.cli.options import Command, Invocation, pass_invocation
from dg.cli.output import Meaning, Output
from dg.core.text import counted

if TYPE_CHECKING:
    from dg.client.sync import Blocking
    from dg.core.deployments.models import Deployment, Diff

ID = click.argument("id", metavar="ID")


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg approve latest --note "checked on staging"
  dg approve 019acd5e-7c00-7000-8000-000000000000 --content 5f70bf18a086""",
)
@ID
@click.option("--note", help="A word for those who read the history.")
@click.option("--content", metavar="HASH", help="Only if it is still this content, as `dg show` printed it.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_invocation
def approve(invocation: Invocation, id: str, note: str | None, content: str | None, yes: bool) -> None:  # noqa: A002
    """Agree to a deployment that waits, as it is now. ID may be a number or `latest`."""
    from dg.cli.remote import request, server
    from dg.core.deployments.models import Approve

    output = invocation.output
    with server(invocation) as dg:
        seen = find(dg, id)
        if person_is_there() and not yes and not output.json:
            _ask(dg, seen, output.to(sys.stderr))
        # What stands here was looked at: when it moves before the answer, the server refuses.
        asked = request(Approve, content=content or seen.content, note=note)
        _print(dg.run(dg.client.deployments.approve(seen.id, asked)), "approved", output)


def _ask(dg: Blocking, deployment: Deployment, output: Output) -> None:
    """Show what would be agreed to, and ask. Raises Refused for a no."""
    from dg.cli.words import outcome
    from dg.core.errors import Refused

    output.line(*outcome(deployment, output))
    _print_diff(dg, deployment, output)
    if not click.confirm("Approve this?", err=True):
        raise Refused("nothing was approved", reason="declined")


@click.command(cls=Command)
@ID
@click.option("--reason", required=True, help="Why; whoever asked for it reads this.")
@pass_invocation
def reject(invocation: Invocation, id: str, reason: str) -> None:  # noqa: A002
    """Refuse a deployment that waits: it ends as rejected. ID may be a number or `latest`."""
    from dg.cli.remote import server

    with server(invocation) as dg:
        deployment = find(dg, id)
        _print(dg.run(dg.client.deployments.reject(deployment.id, reason)), "rejected", invocation.output)


@click.command(
    cls=Command,
    epilog="""\b
Example:
  dg override latest --gate window --reason 'the outage is in this code'""",
)
@ID
@click.option(
    "--gate", "gates", metavar="NAME", multiple=True, required=True, help="The closed gate; may be repeated."
)
@click.option("--reason", required=True, help="Why; everybody hears of it.")
@pass_invocation
def override(invocation: Invocation, id: str, gates: tuple[str, ...], reason: str) -> None:  # noqa: A002
    """Pass closed gates, where a role is stated that may. ID may be a number or `latest`."""
    from dg.cli.remote import request, server
    from dg.core.deployments.models import Override

    with server(invocation) as dg:
        deployment = find(dg, id)
        asked = request(Override, gates=gates, reason=reason)
        passed = dg.run(dg.client.deployments.override(deployment.id, asked))
    _print(passed, f"passed {', '.join(gates)} of", invocation.output)


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg diff latest
  dg diff latest --patch
  dg diff latest --file shop/prices.py""",
)
@ID
@click.option("-p", "--patch", is_flag=True, help="What changes in the files, too.")
@click.option("--file", metavar="PATH", help="What changes in this one, as far as it goes.")
@pass_invocation
def diff(invocation: Invocation, id: str, patch: bool, file: str | None) -> None:  # noqa: A002
    """Show the commits that a deployment brings to what runs there. ID may be a number or `latest`."""
    from dg.cli.remote import record, server

    output = invocation.output
    with server(invocation) as dg:
        deployment = find(dg, id)
        asked = patch or file is not None
        if invocation.json:
            found = dg.client.deployments
            record(
                output,
                dg.run(found.diff(deployment.id, file=file) if asked else found.changes(deployment.id)),
            )
            return
        if file is None:
            _print_diff(dg, deployment, output)
        if asked:
            _print_patch(dg.run(dg.client.deployments.diff(deployment.id, file=file)), output)


PATCH = {"+": Meaning.OK, "-": Meaning.ERR, "@": Meaning.BUSY, "d": Meaning.STRONG}
"""What the first character of a patch's line says."""


def _print_patch(found: Diff, output: Output) -> None:
    counts = counted(found.files.total, "file")
    output.line(
        (counts, Meaning.DIM), (f"+{found.files.added}", Meaning.OK), (f"-{found.files.removed}", Meaning.ERR)
    )
    for text in found.patch.splitlines():
        meaning = PATCH.get(text[:1])
        output.line((text, meaning) if meaning else text)
    if found.cut:
        output.line(("It goes on: ask for one file with --file.", Meaning.WARN))


def _print_diff(dg: Blocking, deployment: Deployment, output: Output) -> None:
    from dg.cli.words import commits

    changes = dg.run(dg.client.deployments.changes(deployment.id))
    base = changes.base[:7] if changes.base else "nothing that is known"
    output.line((f"from {base} to {changes.head[:7]}", Meaning.DIM))
    output.table(commits(changes) or [["no commit comes or goes"]])


def _print(deployment: Deployment, done: str, output: Output) -> None:
    from dg.cli.remote import record
    from dg.cli.words import named

    if output.json:
        record(output, deployment)
        return
    output.line(output.glyph("ok"), (done, Meaning.STRONG), named(deployment))
    if deployment.hold:
        output.line(" ", deployment.hold)
