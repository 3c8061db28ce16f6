"""`dg tui`: the dashboard on a terminal."""

from __future__ import annotations

import sys

import click

from dg.cli.options import Command, Invocation, pass_invocation
from dg.core.errors import Invalid

THEMES = ("night", "day", "colour-blind", "contrast", "256", "16", "no-colour")


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg tui
  dg tui --read-only --theme contrast
  dg tui --ascii""",
)
@click.option("--read-only", is_flag=True, help="Look only: nothing can be changed, whoever is signed in.")
@click.option("--theme", type=click.Choice(THEMES), help="Colours; what the terminal can show when left out.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw without signs that are not ASCII.")
@pass_invocation
def tui(invocation: Invocation, read_only: bool, theme: str | None, ascii_only: bool) -> int:
    """Watch and steer deployments on a dashboard."""
    from dg.cli.remote import client, credentials
    from dg.client.private import state_folder

    if invocation.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Invalid(
            "the dashboard needs a terminal; `dg status`, `dg show` and `dg events -f` say the same in lines",
            reason="usage",
        )
    from dg.tui.app import Dashboard, log_file, picture_file

    found = credentials(invocation)
    whose = str(found.session.path) if found.session else found.token or ""
    app = Dashboard(
        # A server that was started again on another port is found again.
        lambda: client(invocation, credentials(invocation), lambda said: app.tell(said, wrong=True)),
        picture=picture_file(invocation.environ, found.url, whose),
        log=log_file(invocation.environ),
        state=state_folder(invocation.environ),
        read_only=read_only,
        theme=f"dg-{theme}" if theme else None,
        ascii=ascii_only,
    )
    app.run()
    return app.return_code or 0
