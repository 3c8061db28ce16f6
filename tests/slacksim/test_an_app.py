"""An app on slack-bolt lives on the simulator as it would on Slack, over Socket Mode and signed HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.slacksim.apps import BUTTONS, Bot

from dg.slacksim.errors import Impossible
from dg.slacksim.messages import Message
from dg.slacksim.sim import SlackSim


async def posted(bot: Bot, slack: SlackSim, **more: Any) -> Message:
    answer = await bot.client.chat_postMessage(channel="CDEPLOYS", text="api waits", blocks=BUTTONS, **more)
    message = slack.message(answer["ts"])
    assert message is not None
    return message


async def test_a_command_reaches_the_app_and_its_answer_one_person(slack: SlackSim, bot: Bot) -> None:
    delivery = await slack.post_command("ana", "status api")
    assert delivery.ok
    assert [each.text for each in slack.ephemerals("ana")] == ["heard status api"]
    assert slack.ephemerals("ben") == []
    assert slack.messages() == []
    body = bot.bodies("command")[0]
    assert (body["user_id"], body["channel_id"], body["team_id"]) == ("UANA", "CDEPLOYS", "T0HOME")


async def test_an_answer_for_the_channel_is_seen_by_all(slack: SlackSim, bot: Bot) -> None:
    await slack.post_command("ana", "loud")
    assert [each.text for each in slack.messages()] == ["to everybody"]


async def test_names_and_control_characters_of_a_command_are_escaped(slack: SlackSim, bot: Bot) -> None:
    await slack.post_command("ana", "who @ben #staging @release-managers <!channel> & x@ben")
    assert bot.bodies("command")[0]["text"] == (
        "who <@UBEN|ben> <#CSTAGING|staging> <!subteam^SRELEASEMANAGERS|@release-managers>"
        " &lt;!channel&gt; &amp; x@ben"
    )


async def test_an_answer_that_slack_cannot_show_is_a_mistake(slack: SlackSim, bot: Bot) -> None:
    await slack.post_command("ana", "bad")
    assert "invalid_blocks" in slack.ephemerals("ana")[0].text
    assert "unsupported type: nonsense [json-pointer:/blocks/0/type]" in slack.mistakes[0]


async def test_a_button_opens_a_modal_whose_errors_keep_it_open(slack: SlackSim, bot: Bot) -> None:
    message = await posted(bot, slack)
    assert (await slack.click("ben", message, "approve")).ok
    view = await slack.until(lambda: slack.modal("ben"))
    assert view.content["private_metadata"] == "7"
    assert slack.modal("ana") is None
    pressed = bot.bodies("approve")[0]
    assert pressed["actions"][0]["value"] == "7:0"
    assert pressed["actions"][0]["block_id"] == "decide"
    assert pressed["message"]["ts"] == message.ts
    assert pressed["user"]["id"] == "UBEN"

    await slack.submit("ben", {"reason": "wrong"})
    assert view.errors == {"reason": "say more"}
    assert slack.modal("ben") is view
    await slack.submit("ben", {"reason": "p95 is up"})
    assert slack.modal("ben") is None
    values = bot.bodies("submit")[-1]["view"]["state"]["values"]
    assert values["reason"]["text"] == {"type": "plain_text_input", "value": "p95 is up"}
    assert values["version"]["pick"] == {"type": "external_select", "selected_option": None}


async def test_a_modal_can_be_closed_and_the_app_is_told(slack: SlackSim, bot: Bot) -> None:
    await slack.click("ben", await posted(bot, slack), "approve")
    await slack.until(lambda: slack.modal("ben"))
    closed = await slack.close("ben")
    assert closed is not None
    assert closed.ok
    assert slack.modal("ben") is None
    assert bot.bodies("closed")[0]["is_cleared"] is False


async def test_an_external_select_offers_what_the_app_says(slack: SlackSim, bot: Bot) -> None:
    await slack.click("ben", await posted(bot, slack), "approve")
    view = await slack.until(lambda: slack.modal("ben"))
    options = await slack.suggest("ben", view, "pick", "v1")
    assert [each["value"] for each in options] == ["v1.1", "v1.2"]
    await slack.submit("ben", {"reason": "p95 is up", "version": "v1.2"})
    chosen = bot.bodies("submit")[0]["view"]["state"]["values"]["version"]["pick"]["selected_option"]
    assert chosen["value"] == "v1.2"


async def test_a_choice_in_a_message_reaches_the_app_with_its_state(slack: SlackSim, bot: Bot) -> None:
    message = await posted(bot, slack)
    await slack.click("ana", message, "silence", "7200")
    await slack.until(lambda: slack.ephemerals("ana"))
    assert slack.ephemerals("ana")[0].text == "silenced"
    body = bot.bodies("silence")[0]
    assert body["actions"][0]["selected_option"]["value"] == "7200"
    assert body["state"]["values"]["decide"]["silence"]["selected_option"]["value"] == "7200"


async def test_looking_at_the_home_tells_the_app(slack: SlackSim, bot: Bot) -> None:
    await slack.open_home("ana")
    body = (await slack.until(lambda: bot.bodies("app_home_opened")))[0]
    assert body["event"]["user"] == "UANA"
    assert body["event"]["tab"] == "home"
    home = {"type": "home", "blocks": BUTTONS[:1]}
    await bot.client.views_publish(user_id="UANA", view=home)
    view = slack.home("ana")
    assert view is not None
    assert view.content["blocks"][0]["text"]["text"] == "*api* waits"


async def test_a_mention_and_a_link_are_told_to_the_app(slack: SlackSim, bot: Bot) -> None:
    message = await slack.say("ana", "@dg see https://dg.example/d/7 and https://else.example")
    await slack.until(lambda: bot.bodies("app_mention") and bot.bodies("link_shared"))
    shared = bot.bodies("link_shared")[0]["event"]
    assert shared["links"] == [{"url": "https://dg.example/d/7", "domain": "dg.example"}]
    unfurls = {"https://dg.example/d/7": {"blocks": BUTTONS[:1]}}
    await bot.client.chat_unfurl(channel=shared["channel"], ts=shared["message_ts"], unfurls=unfurls)
    assert message.unfurls.keys() == unfurls.keys()


async def test_an_administrators_change_is_told_to_the_app(slack: SlackSim, bot: Bot) -> None:
    await slack.parts.admin.archive("staging")
    await slack.parts.admin.deactivate("cleo")
    await slack.until(lambda: bot.bodies("channel_archive") and bot.bodies("user_change"))
    assert bot.bodies("user_change")[0]["event"]["user"]["deleted"] is True


async def test_a_stranger_is_told_from_the_team(slack: SlackSim, bot: Bot) -> None:
    answer = await bot.client.chat_postMessage(channel="CPARTNER", text="x", blocks=BUTTONS)
    message = slack.message(answer["ts"], "partner")
    assert message is not None
    await slack.click("sam", message, "silence", "1800")
    assert bot.bodies("silence")[0]["user"]["team_id"] == "T0PARTNER"
    await slack.post_command("sam", "status", "partner")
    assert bot.bodies("command")[0]["team_id"] == "T0PARTNER"


async def test_nobody_can_do_what_slack_does_not_offer(slack: SlackSim, bot: Bot) -> None:
    message = await posted(bot, slack)
    for wrong, words in (
        (slack.click("ana", message, "nothing"), "nothing called nothing"),
        (slack.click("ana", message, "approve", value="8:0"), "with the value 8:0"),
        (slack.click("ana", message, "silence", "1"), "no option 1"),
        (slack.click("sam", message, "approve"), "sam is not in deploys"),
        (slack.post_command("ana", "x", command="/other"), "not a valid command"),
        (slack.post_command("gus", "x"), "gus is not in deploys"),
        (slack.submit("ana", {}), "no such modal"),
        (slack.shortcut("ana", "other"), "no shortcut"),
    ):
        with pytest.raises(Impossible, match=words):
            await wrong
    assert bot.heard == []


async def test_a_form_that_is_not_filled_in_is_not_sent(slack: SlackSim, bot: Bot) -> None:
    await slack.click("ben", await posted(bot, slack), "approve")
    await slack.until(lambda: slack.modal("ben"))
    for values, words in (({}, "“Reason” is required"), ({"reason": "abc"}, "at least 5 characters")):
        with pytest.raises(Impossible, match=words):
            await slack.submit("ben", values)
    assert bot.bodies("submit") == []


async def test_a_button_of_an_ephemeral_message_works_for_its_person_only(slack: SlackSim, bot: Bot) -> None:
    await bot.client.chat_postEphemeral(channel="CDEPLOYS", user="UBEN", text="you?", blocks=BUTTONS)
    message = slack.ephemerals("ben")[0]
    with pytest.raises(Impossible, match="ana does not see"):
        await slack.click("ana", message, "approve")
    await slack.click("ben", message, "approve")
    body = bot.bodies("approve")[0]
    assert body["container"]["is_ephemeral"] is True
    assert "message" not in body


async def test_the_payloads_are_json(slack: SlackSim, bot: Bot) -> None:
    await slack.click(
        "ben", await posted(bot, slack, metadata={"event_type": "k", "event_payload": {}}), "approve"
    )
    for delivery in slack.parts.deliveries.log:
        assert json.loads(json.dumps(delivery.payload)) == delivery.payload
