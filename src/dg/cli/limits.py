"""`dg limits`: how much the caller may still ask the server for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dg.cli.options import Command, Invocation, pass_invocation
from dg.cli.output import Meaning, Text

if TYPE_CHECKING:
    from dg.client.models import Limit


@click.command(cls=Command)
@pass_invocation
def limits(invocation: Invocation) -> None:
    """Print how many requests of each class you may still send, and when none is spent any more."""
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        found = dg.run(dg.client.limits())
    output = invocation.output
    if output.json:
        for each in found:
            record(output, each)
        return
    output.table([_row(each) for each in found], header=("CLASS", "LEFT", "OF", "WHOLE AGAIN"))


def _row(limit: Limit) -> tuple[Text, ...]:
    from dg.cli.words import SECOND, moment

    spent = limit.remaining < limit.limit
    left: Text = str(limit.remaining) if limit.remaining else ("0", Meaning.ERR)
    again = moment(limit.reset * SECOND) if spent else "-"
    return limit.name, left, f"{limit.limit} in {limit.window}", (again, Meaning.DIM)
