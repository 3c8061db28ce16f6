"""The page as people use it in a browser: they read, type commands, press, fill in, and see what changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.api.browser import CHROMIUM, Tab, browsing
from tests.slacksim.apps import BUTTONS, Bot

from dg.slacksim.look.routes import POLICY
from dg.slacksim.sim import SlackSim

needs_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

CONFIRMED: list[dict[str, Any]] = [
    {
        "type": "actions",
        "elements": [
            {
                **BUTTONS[1]["elements"][0],
                "confirm": {
                    "title": {"type": "plain_text", "text": "Sure?"},
                    "text": {"type": "mrkdwn", "text": "It goes *live*."},
                    "confirm": {"type": "plain_text", "text": "Yes"},
                    "deny": {"type": "plain_text", "text": "No"},
                },
            }
        ],
    }
]


@pytest.fixture
async def tab(slack: SlackSim, tmp_path: Path) -> AsyncIterator[Tab]:
    """A page of 1280 cells, before which Ana sits."""
    context = browsing(tmp_path)
    tab = await asyncio.to_thread(context.__enter__)
    try:
        tab.resize(1280, 900)
        await asyncio.to_thread(tab.open, f"{slack.url}/?as=ana&channel=deploys")
        await asyncio.to_thread(tab.wait, "document.body?.dataset.ready")
        yield tab
        # What Slack would not let a person do is refused by a 409, which a browser logs.
        assert [each for each in tab.errors if "409 (Conflict)" not in each] == []
        assert tab.evaluate("window.violations") == []
        assert [each for each in tab.asked if not each.startswith(slack.url)] == []
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


async def by(person: Callable[..., Any], *arguments: Any) -> Any:
    """Something that a person does before the page, while the simulator goes on."""
    return await asyncio.to_thread(person, *arguments)


def text(selector: str) -> str:
    return f"document.querySelector({selector!r})?.innerText ?? ''"


def shows(words: str, selector: str = "#messages") -> str:
    return f"({text(selector)}).includes({words!r})"


def typing(tab: Tab, field: str, words: str, button: str) -> None:
    tab.type(field, words)
    tab.press(button)


@pytest.mark.long
@needs_a_browser
async def test_a_person_works_with_the_app_on_the_page(slack: SlackSim, socket_bot: Bot, tab: Tab) -> None:
    await by(typing, tab, "#words", "/dg status api", "#composer button")
    await by(tab.wait, shows("heard status api"))
    assert await by(tab.evaluate, shows("Only visible to you"))
    await by(typing, tab, "#words", "hello *all*", "#composer button")
    await by(tab.wait, shows("hello all"))
    assert [each.text for each in slack.messages()] == ["hello *all*"]

    answer = await socket_bot.client.chat_postMessage(channel="CDEPLOYS", text="x", blocks=BUTTONS)
    await by(tab.wait, shows("api waits"))
    await by(tab.press, "[data-action=approve]")
    await by(tab.wait, shows("Roll back", "#modal"))
    await by(tab.press, ".modal [type=submit]")
    await by(tab.wait, shows("“Reason” is required", "#notice"))
    await by(typing, tab, ".modal [data-action=text]", "wrong", ".modal [type=submit]")
    await by(tab.wait, shows("say more", "#modal"))
    assert await by(tab.evaluate, "document.querySelector('.modal [data-action=text]').value") == "wrong"
    await by(tab.type, ".modal [data-action=pick]", "v1.4")
    await by(tab.press, ".suggestions button:nth-child(2)")
    await by(typing, tab, ".modal [data-action=text]", "p95 is up", ".modal [type=submit]")
    await by(tab.wait, "document.getElementById('modal').hidden")
    values = socket_bot.bodies("submit")[-1]["view"]["state"]["values"]
    assert values["reason"]["text"]["value"] == "p95 is up"
    assert values["version"]["pick"]["selected_option"]["value"] == "v1.4.2"

    choose = "const s = document.querySelector('[data-action=silence]'); s.value = '7200';"
    await by(tab.evaluate, choose + "s.dispatchEvent(new Event('change', {bubbles: true}))")
    await by(tab.wait, shows("silenced"))
    await socket_bot.client.chat_update(channel="CDEPLOYS", ts=answer["ts"], text="done", blocks=[])
    await by(tab.wait, shows("done (edited)"))


@pytest.mark.long
@needs_a_browser
async def test_threads_homes_and_other_peoples_eyes(slack: SlackSim, socket_bot: Bot, tab: Tab) -> None:
    parent = (await socket_bot.client.chat_postMessage(channel="CDEPLOYS", text="parent"))["ts"]
    await socket_bot.client.chat_postMessage(channel="CDEPLOYS", text="line 1", thread_ts=parent)
    await by(tab.wait, shows("1 reply"))
    assert not await by(tab.evaluate, shows("line 1"))
    await by(tab.press, "button.thread:not(.quiet)")
    await by(tab.wait, shows("line 1", "#thread"))
    await by(typing, tab, "#answer", "why?", "#reply button")
    await by(tab.wait, shows("why?", "#thread"))
    assert [each.text for each in slack.messages(thread_ts=parent)] == ["line 1", "why?"]

    await by(tab.press, "[data-to=home]")
    await by(tab.wait, shows("has published no home"))
    await slack.until(lambda: socket_bot.bodies("app_home_opened"))
    await socket_bot.client.views_publish(user_id="UANA", view={"type": "home", "blocks": CONFIRMED})
    await by(tab.press, ".home [data-action=approve]")
    await by(tab.wait, shows("It goes live.", "#confirm"))
    # A browser says that a dialog was closed only after what is pressed at once has been heard.
    again = "document.querySelector('.home [data-action=approve]').click()"
    await by(tab.evaluate, f"document.querySelector('#confirm [value=no]').click(); {again}")
    assert await by(tab.evaluate, "document.getElementById('confirm').open")
    assert socket_bot.bodies("approve") == []
    await by(tab.press, "#confirm [value=yes]")
    await slack.until(lambda: socket_bot.bodies("approve"))
    await by(tab.wait, shows("Roll back", "#modal"))
    await by(tab.press, ".modal footer [data-act=close]")
    await by(tab.wait, "document.getElementById('modal').hidden")

    become = "const s = document.getElementById('as'); s.value = 'sam';"
    await by(tab.evaluate, become + "s.dispatchEvent(new Event('change', {bubbles: true}))")
    await by(tab.wait, "!document.querySelector('[data-to=CDEPLOYS]')")
    assert await by(tab.evaluate, "!!document.querySelector('[data-to=CPARTNER]')")


async def test_the_page_lets_nothing_in_from_elsewhere(slack: SlackSim) -> None:
    async with aiohttp.ClientSession() as session:
        for path, kind in (
            ("/", "text/html"),
            ("/page/style.css", "text/css"),
            ("/page/page.js", "text/javascript"),
            ("/page/icon.svg", "image/svg+xml"),
        ):
            async with session.get(f"{slack.url}{path}") as answer:
                assert (answer.status, answer.content_type) == (200, kind)
                assert answer.headers["Content-Security-Policy"] == POLICY
        for path, status in (("/page/secrets", 404), ("/sim/regions?as=nobody", 404)):
            async with session.get(f"{slack.url}{path}") as answer:
                assert answer.status == status
        async with session.get(slack.url, headers={"Host": "evil.example"}) as answer:
            assert answer.status == 403


async def test_the_regions_show_what_one_person_may_see(slack: SlackSim) -> None:
    await slack.say("ana", "not for sam", "deploys")
    async with aiohttp.ClientSession() as session:
        url = f"{slack.url}/sim/regions"
        async with session.get(url, params={"as": "sam", "channel": "deploys"}) as answer:
            found = await answer.json()
    assert found["where"] == {"as": "sam", "channel": "CPARTNER"}
    assert "not for sam" not in found["regions"]["messages"]


async def test_the_page_shows_what_the_app_answered_wrongly(slack: SlackSim, socket_bot: Bot) -> None:
    await slack.post_command("ana", "bad")
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{slack.url}/sim/regions", params={"as": "ana"}) as answer,
    ):
        sidebar = (await answer.json())["regions"]["sidebar"]
    assert "1 wrong answer<" in sidebar
    assert "invalid_blocks" in sidebar
