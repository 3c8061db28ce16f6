"""The control under `/sim`: everything that a person or a script may do, and who may reach it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from tests.slacksim.apps import BUTTONS, Bot

from dg.slacksim.sim import SlackSim


class Hand:
    """Speaks to the control."""

    def __init__(self, slack: SlackSim, session: aiohttp.ClientSession) -> None:
        self.url = f"{slack.url}/sim"
        self.session = session

    async def post(self, path: str, /, expect: int = 200, **order: Any) -> Any:
        async with self.session.post(f"{self.url}/{path}", json=order) as answer:
            assert answer.status == expect, await answer.text()
            return await answer.json()

    async def get(self, path: str, status: int = 200, **headers: str) -> Any:
        async with self.session.get(f"{self.url}/{path}", headers=headers) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()


@pytest.fixture
async def hand(slack: SlackSim) -> AsyncIterator[Hand]:
    async with aiohttp.ClientSession() as session:
        yield Hand(slack, session)


async def test_a_story_is_told_over_the_control(slack: SlackSim, socket_bot: Bot, hand: Hand) -> None:
    assert (await hand.post("command", person="ana", channel="deploys", text="status"))["ok"]
    posted = await socket_bot.client.chat_postMessage(channel="CDEPLOYS", text="?", blocks=BUTTONS)
    where: dict[str, Any] = {"channel": "deploys", "ts": posted["ts"]}
    answer = await hand.post("click", person="ben", action_id="approve", **where)
    assert answer["ok"]
    await slack.until(lambda: slack.modal("ben"))
    pick: dict[str, Any] = {"person": "ben", "surface": "modal", "action_id": "pick"}
    assert (await hand.post("suggest", typed="v", **pick))["options"][0]["value"] == "v.1"
    values = {"reason": {"text": "p95 is up"}, "version": {"pick": "v.1"}}
    assert (await hand.post("submit", person="ben", values=values))["ok"]
    assert slack.modal("ben") is None
    assert (await hand.post("home", person="ben"))["ok"]
    said = await hand.post("say", person="ana", channel="deploys", text="thanks")
    assert said["ok"]
    shown = (await hand.get("messages?channel=deploys&person=ana"))["messages"]
    assert [(each["text"], each["ephemeral"]) for each in shown] == [
        ("heard status", True),
        ("?", False),
        ("thanks", False),
    ]
    state = await hand.get("state")
    assert {"method": "chat.postMessage", "outcome": "ok", "count": 1} in state["calls"]
    assert len(state["sockets"]) == 1


async def test_faults_sockets_and_the_workspace_are_changed(
    slack: SlackSim, socket_bot: Bot, hand: Hand
) -> None:
    await hand.post("faults", kind="down", method="chat.*", times=3)
    assert (await hand.get("faults"))["faults"][0]["left"] == 3
    async with hand.session.delete(f"{hand.url}/faults") as answer:
        assert answer.status == 200
    assert slack.parts.faults.armed() == []
    for order in ("warn", "silence", "refresh", "abort", "disable"):
        await hand.post("sockets", do=order, socket=99)
    await hand.post("admin", do="rename", channel="staging", name="stage")
    await hand.post("admin", do="archive", channel="stage")
    await hand.post("admin", do="regroup", name="release-managers", people=["cleo"])
    assert slack.parts.slack.group("release-managers").members == [slack.parts.slack.person("cleo").id]
    await hand.post("admin", do="reinstall", token="xoxb-another-one")
    assert slack.bot_token == "xoxb-another-one"
    await hand.post("admin", do="revoke")
    place = slack.parts.slack.conversations["CSTAGING"]
    assert (place.name, place.archived, slack.parts.slack.standing) == ("stage", True, "token_revoked")


@pytest.mark.parametrize(
    ("name", "order", "status", "words"),
    [
        ("command", {"person": "ana"}, 400, "channel: Field required"),
        ("command", {"person": "ana", "channel": "deploys", "txt": "x"}, 400, "txt: Extra inputs"),
        ("command", {"person": "nobody", "channel": "deploys"}, 409, "nobody is called nobody"),
        ("command", {"person": "ana", "channel": "nowhere"}, 409, "no channel is called nowhere"),
        ("command", {"person": "gus", "channel": "deploys"}, 409, "gus is not in deploys"),
        (
            "click",
            {"person": "ana", "channel": "deploys", "ts": "1", "action_id": "x"},
            409,
            "no such message",
        ),
        ("click", {"person": "ana", "surface": "modal", "action_id": "x"}, 409, "ana has no modal"),
        ("submit", {"person": "ana", "values": {"a": "b"}}, 400, "values.a"),
        ("close", {"person": "ana"}, 409, "no such modal"),
        ("faults", {"kind": "fire"}, 400, "kind"),
        ("sockets", {"do": "melt"}, 400, "do"),
        ("admin", {"do": "rename", "channel": "deploys", "name": "A B"}, 400, "name"),
        ("admin", {"do": "archive", "channel": "nowhere"}, 409, "no channel"),
        ("admin", {"do": "rename", "channel": "deploys"}, 409, "give one"),
        ("admin", {"do": "regroup", "name": "nobody"}, 409, "no user group"),
    ],
)
async def test_a_wrong_order_is_refused(
    hand: Hand, name: str, order: dict[str, Any], status: int, words: str
) -> None:
    assert words in (await hand.post(name, expect=status, **order))["error"]


async def test_only_this_machine_reaches_the_control(hand: Hand) -> None:
    refused = "the simulator answers to this machine only"
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        assert (await hand.get("state", 403, **headers))["error"] == refused
    form = aiohttp.FormData({"person": "ana"})
    async with hand.session.post(f"{hand.url}/command", data=form) as answer:
        assert answer.status == 415
    async with hand.session.post(
        f"{hand.url}/command", data=b"{", headers={"Content-Type": "application/json"}
    ) as answer:
        assert answer.status == 400


async def test_a_watcher_hears_of_the_next_change(slack: SlackSim, hand: Hand) -> None:
    revision = (await hand.get("state"))["revision"]
    await slack.say("ana", "news")
    assert (await hand.get(f"changes?after={revision}"))["revision"] > revision
    assert "after" in (await hand.get("changes?after=x", 400))["error"]
