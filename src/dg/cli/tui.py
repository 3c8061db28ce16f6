"""`dg tui`: the dashboard on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dg.cli.errors import ExitCode
from dg.cli.options import Command, Invocation, pass_invocation
from dg.core.errors import Invalid

if TYPE_CHECKING:
    from dg.tui.preferences import Preferences

THEMES = ("night", "day", "colour-blind", "contrast", "256", "16", "no-colour")
BELLS = ("off", "sound", "notice")
SIZE = ("COLUMNS", "LINES")
"""Variables that Python believes before the terminal: exported by a shell, they hold a size that is over."""
CONFIG = "How you want it, and your keys [$XDG_CONFIG_HOME/dg/dashboard.toml]."


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg tui
  dg tui --read-only --theme contrast
  dg tui --ascii
  dg tui --keys > ~/.config/dg/dashboard.toml""",
)
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help=CONFIG)
@click.option("--keys", "list_keys", is_flag=True, help="Print what every key does, as the file takes it.")
@click.option("--mouse/--no-mouse", default=None, help="Leave the mouse to the terminal, or do not.")
@click.option("--bell", type=click.Choice(BELLS), help="Call when something is newly critical: BEL or OSC 9.")
@click.option("--read-only", is_flag=True, help="Look only: nothing can be changed, whoever is signed in.")
@click.option("--theme", type=click.Choice(THEMES), help="Colours; what the terminal can show when left out.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw without signs that are not ASCII.")
@pass_invocation
def tui(
    invocation: Invocation,
    config: Path | None,
    list_keys: bool,
    mouse: bool | None,
    bell: str | None,
    read_only: bool,
    theme: str | None,
    ascii_only: bool,
) -> int:
    """Watch and steer deployments on a dashboard."""
    from dg.cli.remote import client, credentials
    from dg.client.private import state_folder

    wanted = preferences(invocation, config)
    keymap = _keymap(wanted)
    if list_keys:
        return _print_keys(keymap, invocation)
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
        read_only=read_only or wanted.read_only,
        theme=f"dg-{chosen}" if (chosen := theme or wanted.theme) else None,
        ascii=ascii_only or wanted.ascii,
        bell=bell or wanted.bell,
        keymap=keymap,
    )
    for fixed in SIZE:
        os.environ.pop(fixed, None)
    app.run(mouse=wanted.mouse if mouse is None else mouse)
    return app.return_code or 0


def preferences(invocation: Invocation, config: Path | None) -> Preferences:
    """How the person wants it, by their file. Raises Invalid for one that cannot be used."""
    from dg.tui.preferences import preferences_file, read

    return read(config or preferences_file(invocation.environ), wanted=config is not None)


def _keymap(wanted: Preferences) -> Mapping[str, str]:
    if not wanted.keys:
        return {}
    from dg.tui.keys import keymap

    return keymap(wanted.keys)


def _print_keys(keymap: Mapping[str, str], invocation: Invocation) -> int:
    """Every binding with its keys: text that can stand in the file."""
    import json

    from dg.tui.keys import printed

    output, rows = invocation.output, printed(keymap)
    if output.json:
        for row in rows:
            output.record(row)
        return ExitCode.OK
    output.line("[keys]")
    for row in rows:
        output.line(f"{row['id']} = {json.dumps(row['keys'])}  # {row['does']} ({row['where']})")
    return ExitCode.OK
