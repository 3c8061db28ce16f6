"""`dg web`: the dashboard in browsers, each with the rights of whoever is signed in there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dg.cli.errors import ExitCode
from dg.cli.options import Command, Invocation, pass_invocation
from dg.cli.output import Meaning, Output
from dg.cli.params import Span
from dg.cli.serve import hide, log_to_stderr, stop_signal
from dg.cli.tui import THEMES
from dg.core.errors import Unavailable

if TYPE_CHECKING:
    from dg.web.app import Options


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg web
  dg web --public-url https://dg-web.example.org --read-only""",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8480,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--public-url", metavar="URL", help="What browsers open, where a proxy with TLS stands in front."
)
@click.option(
    "--most",
    type=click.IntRange(1, 200),
    default=16,
    show_default=True,
    help="Dashboards at once, each a process of about 80 MB.",
)
@click.option(
    "--each",
    type=click.IntRange(1, 200),
    default=4,
    show_default=True,
    help="Dashboards at once of one person.",
)
@click.option(
    "--idle",
    type=Span(),
    default="4h",
    show_default=True,
    help="Time without a key or the mouse that ends one.",
)
@click.option("--read-only", is_flag=True, help="Look only: nothing can be changed, whoever is signed in.")
@click.option("--theme", type=click.Choice(THEMES[:5]), default="night", show_default=True, help="Colours.")
@pass_invocation
def web(
    invocation: Invocation,
    host: str,
    port: int,
    public_url: str | None,
    most: int,
    each: int,
    idle: str,
    read_only: bool,
    theme: str,
) -> int:
    """Show the dashboard in browsers.

    Whoever opens it signs in as with `dg login` and sees and does what they may, never what you may. It
    listens on this machine only; for others put a proxy with TLS in front.
    """
    from dg.cli.remote import place, warn
    from dg.settings.tree import Logging
    from dg.settings.units import seconds_of
    from dg.web.app import Options
    from dg.web.children import Manner
    from dg.web.dashboards import Caps
    from dg.web.shutting import can_shut_in

    authority = invocation.environ.get("DG_CA_FILE")
    manner = Manner(place(invocation), Path(authority) if authority else None, f"dg-{theme}", read_only)
    options = Options(manner, Caps(most, each, seconds_of(idle)), host, port, public_url)
    hide(required=False)
    log_to_stderr(Logging())
    if not can_shut_in():
        warn(invocation, "this system has no Landlock: give `dg web` a user of its own, who owns no files")
    asyncio.run(run(options, invocation.output))
    return ExitCode.OK


async def run(options: Options, output: Output) -> None:
    """Serve until SIGTERM or SIGINT. Raises Invalid, Unavailable."""
    from dg import __version__
    from dg.core.clock import SystemClock
    from dg.web.app import serve

    stop = stop_signal()
    try:
        async with serve(options, SystemClock()) as url:
            if output.json:
                output.record({"ready": url, "version": __version__, "server": options.manner.url})
            else:
                output.line(f"dg {__version__} web", ("ready", Meaning.OK), f"on {url}")
                output.line(("it shows", Meaning.DIM), options.manner.url)
            output.stream.flush()
            await stop.wait()
    except OSError as error:
        message = (
            f"{options.host}:{options.port} cannot be listened on ({error.strerror}): --port takes another"
        )
        raise Unavailable(message, reason="port") from None
