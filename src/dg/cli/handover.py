"""`dg handover`: what whoever comes on call next has to know."""

from __future__ import annotations

from pathlib import Path

import click

from dg.cli.options import Command, Invocation, pass_invocation
from dg.cli.params import Before


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg handover
  dg handover --since 08:00 --to handover.md
  dg --json handover --since 12h | jq .unwell""",
)
@click.option(
    "--since", type=Before(), default="8h", show_default=True, help="When the shift began: 8h, 08:00."
)
@click.option(
    "--to",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it to a new file that only you can read.",
)
@click.option("--to-slack", is_flag=True, help="Have the bot post it, in your name.")
@click.option("--channel", metavar="ID", help="Where in Slack; the first route's channel without it.")
@pass_invocation
def handover(
    invocation: Invocation, since: int, to: Path | None, to_slack: bool, channel: str | None
) -> None:
    """Write the shift down as Markdown: what is bad or closed now, what waits, what happened."""
    import json

    from dg.cli.remote import now, server
    from dg.client.handover import gather
    from dg.client.markdown import markdown, shortened
    from dg.client.private import write_new
    from dg.client.wire import encode
    from dg.core.slack.models import LONGEST

    if channel and not to_slack:
        raise click.UsageError("--channel says where in Slack: give --to-slack too")
    output = invocation.output
    with server(invocation) as dg:
        found = dg.run(gather(dg.client, since, now()))
        if to_slack:
            posted = dg.run(
                dg.client.slack.post_handover(shortened(markdown(found), LONGEST), channel=channel)
            )
            if output.json:
                output.record(encode(posted))
            else:
                output.line(output.glyph("ok"), f"on its way to {posted.channel}")
            return
    text = json.dumps(encode(found)) + "\n" if output.json else markdown(found)
    if to is not None:
        write_new(to, text)
    elif output.json:
        output.record(encode(found))
    else:
        for line in text.splitlines():
            output.line(line)
