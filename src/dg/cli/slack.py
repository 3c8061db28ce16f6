"""`dg slack`: who you are in Slack, and how the bot gets there."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from dg.cli.errors import ExitCode
from dg.cli.finding import Finding
from dg.cli.lanes import FOR
from dg.cli.options import Group, Invocation, pass_invocation
from dg.cli.output import Meaning, Text
from dg.cli.params import ENVIRONMENT

if TYPE_CHECKING:
    from dg.core.access.accounts import SlackCode, SlackLink
    from dg.core.slack.models import Severity, SlackSubscription
    from dg.settings import Settings

_STEPS = """\
Slack is not set up here yet. In this order:

1. https://api.slack.com/apps, "Create New App", "From an app manifest": choose the
   workspace and paste what `dg slack manifest` prints.
2. "Install to Workspace"; then "OAuth & Permissions" has the bot token (xoxb-...).
3. "Basic Information", "App-Level Tokens": one with the scope connections:write
   (xapp-...).
4. Put each into a file of mode 0600 in {home}, and into
   {home}/server.toml:

     [slack]
     mode = "socket"
     bot_token_file = "slack-bot-token"
     app_token_file = "slack-app-token"

     [slack.routes.everything]
     channel = "C0123456789"   # the channel's id, from its details

5. Type /invite @dg in that channel, run this again, and restart the server.
"""


@click.command(cls=Group)
def slack() -> None:
    """Link your account in Slack; mute or subscribe a channel; set the bot up."""


@slack.command()
@click.argument("code", metavar="CODE")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_invocation
def link(invocation: Invocation, code: str, yes: bool) -> None:
    """Say that the account in Slack that was shown this code is yours.

    Whatever it asks for is asked by you from then on.
    """
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        found = dg.run(dg.client.slack.code(code))
        if not yes:
            _ask(found, invocation)
        made = dg.run(dg.client.slack.link(code))
    if invocation.json:
        record(invocation.output, made)
    else:
        invocation.output.line(invocation.output.glyph("ok"), "linked:", _called(made))


def _ask(found: SlackCode, invocation: Invocation) -> None:
    """Show whose code it is, and raise Abort unless the person at the terminal agrees."""
    from dg.core.errors import Invalid

    if not sys.stdin.isatty():
        raise Invalid("look whose code it is and say yes at a terminal, or give --yes", reason="usage")
    output = invocation.output.to(sys.stderr)
    output.line("The account", (_called(found), Meaning.STRONG), "in Slack will act as you.")
    sys.stderr.flush()
    click.confirm("Is it yours?", abort=True, err=True)


@slack.command()
@pass_invocation
def links(invocation: Invocation) -> None:
    """List your accounts in Slack, and those of others that you may see."""
    from dg.cli.remote import now, record, server
    from dg.cli.words import ago

    with server(invocation) as dg:
        found = dg.run(dg.client.slack.links())
    output = invocation.output
    if output.json:
        for each in found:
            record(output, each)
        return
    rows: list[tuple[Text, ...]] = [
        (each.id, _called(each), each.person, (ago(each.linked_at, now()), Meaning.DIM)) for each in found
    ]
    output.table(rows, header=("ID", "ACCOUNT", "PERSON", "SINCE"))


@slack.command()
@click.argument("id", metavar="ID")
@pass_invocation
def unlink(invocation: Invocation, id: str) -> None:  # noqa: A002 - the public word
    """Make an account in Slack nobody's: what it asks for is refused."""
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        ended = dg.run(dg.client.slack.unlink(id))
    if invocation.json:
        record(invocation.output, ended)
    else:
        invocation.output.line(("unlinked", Meaning.WARN), _called(ended))


@slack.command()
@click.argument("channel", metavar="CHANNEL")
@FOR
@click.option("--reason", help="Why; the channel reads it.")
@pass_invocation
def mute(invocation: Invocation, channel: str, lasting: str, reason: str | None) -> None:
    """Tell a channel, by its id, only what cannot wait, for a while."""
    from dg.cli.remote import record, server
    from dg.cli.words import moment

    with server(invocation) as dg:
        made = dg.run(dg.client.slack.mute(channel, lasting=lasting, reason=reason))
    if invocation.json:
        record(invocation.output, made)
        return
    invocation.output.line(("muted", Meaning.WARN), f"{made.channel} until {moment(made.until)}")
    invocation.output.line(("  end it with:", Meaning.DIM), f"dg slack unmute {made.channel}")


@slack.command()
@click.argument("channel", metavar="CHANNEL")
@pass_invocation
def unmute(invocation: Invocation, channel: str) -> None:
    """Tell a channel everything again; what it was not told comes together."""
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        ended = dg.run(dg.client.slack.unmute(channel))
    if invocation.json:
        record(invocation.output, ended)
    else:
        invocation.output.line(invocation.output.glyph("ok"), f"{ended.channel} is told everything again")


@slack.command()
@pass_invocation
def mutes(invocation: Invocation) -> None:
    """List the channels that are muted now."""
    from dg.cli.remote import record, server
    from dg.cli.words import moment

    with server(invocation) as dg:
        found = dg.run(dg.client.slack.mutes())
    output = invocation.output
    if output.json:
        for each in found:
            record(output, each)
        return
    rows: list[tuple[Text, ...]] = [(each.channel, moment(each.until), each.reason or "") for each in found]
    output.table(rows, header=("CHANNEL", "UNTIL", "REASON"))


_SERVICE = click.option("--service", metavar="NAME", help="Only this service.")
_ENVIRONMENT = click.option("--env", "environment", type=ENVIRONMENT, help="Only this environment.")


@slack.command()
@click.argument("channel", metavar="CHANNEL")
@_SERVICE
@_ENVIRONMENT
@click.option(
    "--severity",
    type=click.Choice(["degraded", "unhealthy"]),
    help="From how bad on a service is told of; degraded when left out.",
)
@pass_invocation
def subscribe(
    invocation: Invocation,
    channel: str,
    service: str | None,
    environment: str | None,
    severity: Severity | None,
) -> None:
    """Tell a channel, by its id, of these lanes, beside what the routes say."""
    from dg.cli.remote import record, server

    wanted = {"service": service, "environment": environment}
    with server(invocation) as dg:
        made = dg.run(dg.client.slack.subscribe(channel, severity=severity, **wanted))
    if invocation.json:
        record(invocation.output, made)
    else:
        invocation.output.line(invocation.output.glyph("ok"), f"{made.channel} is told of {_lanes(made)}")


@slack.command()
@click.argument("channel", metavar="CHANNEL")
@_SERVICE
@_ENVIRONMENT
@pass_invocation
def unsubscribe(invocation: Invocation, channel: str, service: str | None, environment: str | None) -> None:
    """End what a channel subscribed to: exactly these lanes."""
    from dg.cli.remote import record, server
    from dg.core.errors import NotFound

    with server(invocation) as dg:
        there = dg.run(dg.client.slack.subscriptions())
        meant = next((each for each in there if each.asks(channel, environment, service)), None)
        if meant is None:
            raise NotFound(f"{channel} has no such subscription: see dg slack subscriptions")
        ended = dg.run(dg.client.slack.unsubscribe(meant.id))
    if invocation.json:
        record(invocation.output, ended)
    else:
        invocation.output.line(
            ("unsubscribed", Meaning.WARN), f"{ended.channel} is told no more of {_lanes(ended)}"
        )


@slack.command()
@click.argument("channel", metavar="[CHANNEL]", required=False)
@pass_invocation
def subscriptions(invocation: Invocation, channel: str | None) -> None:
    """List what channels are told beside the routes."""
    from dg.cli.remote import now, record, server
    from dg.cli.words import ago

    with server(invocation) as dg:
        found = dg.run(dg.client.slack.subscriptions())
    output = invocation.output
    listed = [each for each in found if channel in (None, each.channel)]
    if output.json:
        for each in listed:
            record(output, each)
        return
    rows: list[tuple[Text, ...]] = [
        (each.channel, _lanes(each), each.severity, each.by, (ago(each.since, now()), Meaning.DIM))
        for each in listed
    ]
    output.table(rows, header=("CHANNEL", "WHAT", "FROM", "BY", "SINCE"))


def _lanes(subscription: SlackSubscription) -> str:
    return f"{subscription.service or 'all services'} in {subscription.environment or 'every environment'}"


@slack.command()
@click.option("--command", default="/dg", show_default=True, help="The slash command.")
@pass_invocation
def manifest(invocation: Invocation, command: str) -> None:
    """Print the manifest from which Slack makes the app of this server."""
    import yaml

    from dg.bot.manifest import manifest as of

    found = of(invocation.settings().settings, command)
    if invocation.json:
        invocation.output.record(found)
    else:
        invocation.output.stream.write(yaml.safe_dump(found, sort_keys=False))


@slack.command()
@pass_invocation
def setup(invocation: Invocation) -> ExitCode:
    """Say how the bot is set up, and check each step that was made."""
    settings = invocation.settings().settings
    if settings.slack.mode == "off":
        invocation.output.stream.write(_STEPS.format(home=settings.home))
        return ExitCode.FAILED
    from dg.cli.doctor import show

    found = asyncio.run(_examined(settings, invocation))
    show(found, invocation.output)
    if any(each.level == "fail" for each in found):
        return ExitCode.FAILED
    if not invocation.json:
        invocation.output.line("Start the server again; then /dg link in Slack says who you are to dg.")
    return ExitCode.OK


async def _examined(settings: Settings, invocation: Invocation) -> list[Finding]:
    from dg.bot.client import open_api
    from dg.bot.preflight import examine
    from dg.core.slack.tokens import read_tokens

    tokens = read_tokens(settings.slack, settings.home, invocation.environ)
    async with open_api(settings.slack.api_url, tokens.bot, tokens.app) as api:
        return [
            Finding(each.name, "ok" if each.good else "fail", each.message, "" if each.good else each.remedy)
            async for each in examine(api, settings.slack)
        ]


@slack.command()
@click.option("--channel", metavar="ID", help="Where; the channel of the first route when left out.")
@pass_invocation
def test(invocation: Invocation, channel: str | None) -> None:
    """Post one message to a channel, and edit it."""
    from dg.core.errors import Invalid

    settings = invocation.settings().settings
    routes = list(settings.slack.routes.values())
    if settings.slack.mode == "off":
        raise Invalid("Slack is not set up here: see dg slack setup", reason="settings")
    if not (where := channel or (routes[0].channel if routes else None)):
        raise Invalid("say where with --channel: there are no routes", reason="usage")
    posted = asyncio.run(_tried(settings, invocation, where))
    if invocation.json:
        invocation.output.record({"channel": where, "ts": posted})
    else:
        invocation.output.line(invocation.output.glyph("ok"), f"posted to {where}, and edited")


async def _tried(settings: Settings, invocation: Invocation, channel: str) -> str:
    from dg.bot.client import SlackProblem, open_api
    from dg.bot.preflight import try_out
    from dg.core.errors import Unavailable
    from dg.core.slack.tokens import read_tokens

    tokens = read_tokens(settings.slack, settings.home, invocation.environ)
    async with open_api(settings.slack.api_url, tokens.bot, tokens.app) as api:
        try:
            return await try_out(api, channel)
        except SlackProblem as problem:
            raise Unavailable(f"Slack answers {problem.code} for {channel}", reason="slack") from None


def _called(account: SlackCode | SlackLink) -> str:
    return f"{account.name or 'without a name'} ({account.user} in {account.team})"
