"""A Slack beside the sandbox's server, in which its two people are known: `dg sandbox --slack`."""

from __future__ import annotations

import re

from dg.core.home import write_private
from dg.sandbox.home import SandboxHome
from dg.sandbox.people import People, Person
from dg.sandbox.scene import Differs
from dg.slacksim.sim import SlackSim

SETTINGS = """\
[slack]
mode = "socket"
api_url = "{url}"
bot_token_file = "slack-bot-token"
app_token_file = "slack-app-token"

[slack.routes.everything]
channel = "{channel}"
post = "always"
"""
CHANNEL = "deploys"

_CODE = re.compile(r"[A-Z0-9]{4}(?:-[A-Z0-9]{4}){3}")
_READY_WITHIN = 30.0


def settings(home: SandboxHome, slack: SlackSim) -> str:
    """The server's settings that lead it there; the tokens are files in its home."""
    for name, token in (("slack-bot-token", slack.bot_token), ("slack-app-token", slack.app_token)):
        write_private(home.path / name, token)
    return SETTINGS.format(url=slack.api_url, channel=slack.parts.slack.conversation(CHANNEL).id)


async def introduce(slack: SlackSim, people: People) -> None:
    """Link both people's accounts, as they would: by a code that Slack shows and dg is told.

    Raises Differs when the bot gives none.
    """
    await slack.until(slack.parts.sockets.open, within=_READY_WITHIN)
    for person in (people.ana, people.ben):
        await _link(slack, person)


async def _link(slack: SlackSim, person: Person) -> None:
    await slack.post_command(person.name, "link", CHANNEL)
    shown = await slack.until(lambda: slack.ephemerals(person.name), within=_READY_WITHIN)
    if (code := _CODE.search(shown[-1].text)) is None:
        raise Differs(f"the bot should show {person.name} a code, and says: {shown[-1].text}")
    await person.client.slack.link(code[0])
