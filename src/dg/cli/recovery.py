"""`dg retry`, `dg abandon`: what people do about a deployment that failed or does not stop."""

from __future__ import annotations

import click

from dg.cli.deployments import WAIT, carry_out, find_id
from dg.cli.options import Command, Invocation, pass_invocation
from dg.cli.output import Meaning
from dg.cli.params import Key


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg retry latest --wait
  dg retry 41 --from rollout --note "the quota was raised"
  dg retry latest --from migrate --confirm""",
)
@click.argument("id", metavar="ID")
@click.option("--from", "from_step", metavar="STEP", help="The step to begin with; the first that failed.")
@click.option("--confirm", is_flag=True, help='Run a step again that had begun and says resume = "ask".')
@click.option("--note", help="A word for those who read the history.")
@click.option(
    "--key", type=Key(), help="The same key within a day means the same deployment: for jobs that ask again."
)
@WAIT
@pass_invocation
def retry(
    invocation: Invocation,
    id: str,  # noqa: A002
    from_step: str | None,
    confirm: bool,
    note: str | None,
    key: str | None,
    wait: bool,
) -> int:
    """Take a failed deployment up again from where it failed.

    What went well is not run again. ID may be a number or `latest`.
    """
    from dg.cli.remote import request, server
    from dg.core.deployments.models import RequestRetry

    asked = request(RequestRetry, from_step=from_step, confirm=confirm, note=note)
    with server(invocation) as dg:
        made = dg.run(dg.client.deployments.retry(find_id(dg, id), asked, key=key))
        return carry_out(dg, made, invocation.output, wait)


@click.command(
    cls=Command,
    epilog="""\b
Example:
  dg abandon latest --reason 'the step hangs in a mount that is gone'""",
)
@click.argument("id", metavar="ID")
@click.option("--reason", required=True, help="Why; everybody hears of it.")
@pass_invocation
def abandon(invocation: Invocation, id: str, reason: str) -> None:  # noqa: A002
    """Give up on a deployment that was asked to stop and does not. ID may be a number or `latest`.

    Its lane stays locked, and nobody takes it before what it began is gone.
    """
    from dg.cli.remote import record, server
    from dg.cli.words import named

    with server(invocation) as dg:
        ended = dg.run(dg.client.deployments.abandon(find_id(dg, id), reason))
    output = invocation.output
    if output.json:
        record(output, ended)
        return
    output.line(("abandoned", Meaning.WARN), named(ended))
    output.line(("  what closes its lane:", Meaning.DIM), f"dg why {ended.service} {ended.environment.value}")
