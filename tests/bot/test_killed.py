"""A server that is killed while it posts: no message is lost, and none is there twice."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.bot.office import DEPLOYS, team
from tests.client.servers import PIPELINE, make_repository, serving

from dg.client.app import Client
from dg.client.auth import find
from dg.core.deployments.models import CreateDeployment
from dg.core.home import write_private
from dg.core.types import Environment
from dg.slacksim.sim import SlackSim

TIMES = 4
PROTECTED = """\
[environments.production]
protected = true
[environments.production.approvals]
count = 1
"""
SETTINGS = """\
[slack]
mode = "socket"
api_url = "{url}"
bot_token_file = "bot"
app_token_file = "app"
[slack.routes.all]
channel = "{channel}"
post = "always"
"""


@pytest.mark.long
async def test_a_server_killed_while_it_posts_posts_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    repository = await asyncio.to_thread(make_repository, tmp_path / "web")
    async with SlackSim(team()) as slack:
        write_private(home / "server.toml", SETTINGS.format(url=slack.api_url, channel=DEPLOYS))
        write_private(home / "bot", slack.bot_token)
        write_private(home / "app", slack.app_token)
        for time in range(TIMES):
            slack.fault(kind="slow", method="chat.postMessage", times=1, seconds=4)
            await die_while_posting(home, repository, slack, time)
        await live(home, slack)
        assert len(slack.messages()) == TIMES
        assert len([each for each in slack.calls("chat.postMessage") if each.applied]) == TIMES


async def die_while_posting(home: Path, repository: Path, slack: SlackSim, before: int) -> None:
    """Deploy, and kill the server when Slack has the message and has not said so."""
    with serving(home) as server:
        found = find({}, home)
        async with Client(found.url, found.token) as client:
            if not before:
                await client.pipelines.register(PIPELINE.format(repository=repository))
            wish = CreateDeployment(environment=Environment.STAGING, service="web", ref="good")
            await client.deployments.create(wish)
        await slack.until(lambda: len(slack.messages()) > before, within=30)
        server.stop(signal.SIGKILL)


async def live(home: Path, slack: SlackSim) -> None:
    """A server that finishes what those before it began."""
    with serving(home) as server:
        done = slack.until(lambda: all("success" in each.text for each in slack.messages()), within=60)
        try:
            await done
        finally:
            server.stop()


@pytest.mark.long
async def test_a_server_killed_while_it_posts_the_digest_posts_it_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    repository = await asyncio.to_thread(make_repository, tmp_path / "web")
    async with SlackSim(team()) as slack:
        write_private(home / "bot", slack.bot_token)
        write_private(home / "app", slack.app_token)
        write_private(home / "server.toml", PROTECTED)
        await wait_for_approval(home, repository)
        at = f"{datetime.now(UTC) - timedelta(minutes=1):%H:%M}"
        table = SETTINGS.format(url=slack.api_url, channel=DEPLOYS).replace("always", "digest")
        digest = f'[slack.digest]\nat = "{at}"\n'
        write_private(home / "server.toml", "\n".join((PROTECTED, table, digest)))
        for time in range(TIMES):
            slack.fault(kind="slow", method="chat.*", times=1, seconds=4, applied=True)
            with serving(home) as server:
                await slack.until(lambda: slack.messages(), within=30)
                if time < TIMES - 1:
                    server.stop(signal.SIGKILL)
                    continue
                await slack.until(lambda: said_by(slack), within=30)
        assert ["1 waiting for approval" in each.text for each in slack.messages()] == [True]


async def wait_for_approval(home: Path, repository: Path) -> None:
    """Ask for a deployment that somebody has to agree to."""
    with serving(home):
        found = find({}, home)
        async with Client(found.url, found.token) as client:
            await client.pipelines.register(PIPELINE.format(repository=repository))
            wish = CreateDeployment(environment=Environment.PRODUCTION, service="web", ref="good")
            await client.deployments.create(wish)


def said_by(slack: SlackSim) -> bool:
    """Whether the server that runs has looked for what those before it posted."""
    return any(each.outcome == "ok" for each in slack.calls("conversations.history"))
