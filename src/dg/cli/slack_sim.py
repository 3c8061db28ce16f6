"""`dg slack-sim`: a Slack of our own on this machine, for trying and testing a bot without a workspace."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dg.cli.errors import ExitCode
from dg.cli.options import Command, Invocation, pass_invocation
from dg.cli.output import Meaning, Output
from dg.cli.serve import log_to_stderr, stop_signal
from dg.core.errors import Invalid, Unavailable

if TYPE_CHECKING:
    from dg.slacksim.app import Options
    from dg.slacksim.sim import SlackSim
    from dg.slacksim.world import World


@click.command(cls=Command, name="slack-sim")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8475,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--world",
    type=click.Path(dir_okay=False, path_type=Path),
    help="People, channels, groups and the app, as TOML or JSON  [default: a small team]",
)
@click.option(
    "--request-url", metavar="URL", help="Send to the app by signed HTTP, in the place of Socket Mode."
)
@click.option(
    "--limits",
    type=click.FloatRange(0, 1000),
    default=1.0,
    show_default=True,
    help="Slack's rate limits, so many times as fast; 0 turns them off.",
)
@pass_invocation
def slack_sim(
    invocation: Invocation, port: int, world: Path | None, request_url: str | None, limits: float
) -> int:
    """Be a Slack for a bot: Web API, Socket Mode, signed HTTP and a page to look at.

    Everything is in memory and on this machine only; whoever opens the page may act as anybody.

    \b
    dg slack-sim
    dg slack-sim --world team.toml --limits 0
    """
    import uvloop

    from dg.settings.tree import Logging
    from dg.slacksim.app import Options

    declared = _declared(world, request_url)
    log_to_stderr(Logging())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(declared, Options(port=port, scale=limits), invocation.output))
    return ExitCode.OK


def _declared(file: Path | None, request_url: str | None) -> World:
    """The world of the file, or the sample. Raises Invalid."""
    from pydantic import ValidationError

    from dg.slacksim.world import App, WorldError, load, sample

    try:
        world = load(file) if file else sample()
    except WorldError as error:
        raise Invalid(str(error), reason="world") from None
    if request_url is None:
        return world
    told = {"transport": "http", "request_url": request_url}
    try:
        app = App.model_validate({**world.app.model_dump(), **told})
    except ValidationError:
        raise Invalid("--request-url must be an http or https address", reason="usage") from None
    return world.model_copy(update={"app": app})


async def run(world: World, options: Options, output: Output) -> None:
    """Be a Slack until SIGTERM or SIGINT. Raises Unavailable when the port is taken."""
    from dg import __version__
    from dg.core.clock import SystemClock
    from dg.slacksim.sim import SlackSim

    stop = stop_signal()
    async with AsyncExitStack() as stack:
        try:
            slack = await stack.enter_async_context(SlackSim(world, clock=SystemClock(), options=options))
        except OSError as error:
            message = f"port {options.port} cannot be listened on ({error.strerror}): --port takes another"
            raise Unavailable(message, reason="port") from None
        if output.json:
            output.record({"ready": slack.url, "version": __version__, **_secrets(slack)})
        else:
            output.line(f"dg {__version__} slack-sim", ("ready", Meaning.OK), f"on {slack.url}")
            for name, value in _secrets(slack).items():
                output.line((f"{name.replace('_', ' ')}:", Meaning.DIM), value)
        output.stream.flush()
        await stop.wait()


def _secrets(slack: SlackSim) -> dict[str, str]:
    """What a bot needs to connect; none of it is good anywhere else."""
    return {
        "api_url": slack.api_url,
        "bot_token": slack.bot_token,
        "app_token": slack.app_token,
        "signing_secret": slack.signing_secret,
    }
