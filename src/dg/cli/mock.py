"""`dg mock`: a stand-in for a server, for who writes a client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from dg import __version__
from dg.cli.errors import ExitCode
from dg.cli.options import Command, Invocation, pass_invocation
from dg.cli.output import Meaning, Output
from dg.cli.serve import log_to_stderr, stop_signal

if TYPE_CHECKING:
    from dg.settings.server import Server


@click.command(cls=Command)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8471,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@pass_invocation
def mock(invocation: Invocation, host: str, port: int) -> int:
    """Answer as a server would, with the examples of the contracts; nothing is kept or deployed.

    Any token opens it. `Prefer: code=404` asks for the answer with that status.
    """
    import uvloop

    from dg.settings.server import Server
    from dg.settings.tree import Logging

    log_to_stderr(Logging())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        # It has no secret and changes nothing, so anybody may reach it without TLS.
        runner.run(run(Server(host=host, port=port, allow_plain=True), invocation.output))
    return ExitCode.OK


async def run(settings: Server, output: Output) -> None:
    """Answer until SIGTERM or SIGINT."""
    from dg.api import contract
    from dg.api.mock import Mock
    from dg.api.server import listen

    stop = stop_signal()
    app = Mock(map(contract.load, contract.NAMES), settings)
    async with listen(app, settings) as listening:
        if output.json:
            output.record({"ready": listening.url, "version": __version__})
        else:
            output.line(f"dg {__version__} mock", ("ready", Meaning.OK), f"on {listening.url}")
        output.stream.flush()
        await stop.wait()
        app.stop()
