"""Modals in their stacks and homes: what the app answers to a submission, and what it may show meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from tests.slacksim.apps import BUTTONS, MODAL, Bot
from tests.slacksim.conftest import section

from dg.slacksim.errors import Impossible, SlackError
from dg.slacksim.responding import to_submission
from dg.slacksim.sim import SlackSim


def modal(title: str, **more: Any) -> dict[str, Any]:
    text = {"type": "plain_text", "text": title}
    return {"type": "modal", "title": text, "submit": text, "blocks": [section()], **more}


def titles(slack: SlackSim, person: str = "ana") -> list[str]:
    stack = slack.parts.slack.views.stack(slack.parts.slack.person(person).id)
    return [each.content["title"]["text"] for each in stack]


async def shown(
    slack: SlackSim, client: AsyncWebClient, view: dict[str, Any], how: str = "open"
) -> dict[str, Any]:
    trigger = slack.parts.slack.passes.trigger("UANA")
    answer = await client.api_call(f"views.{how}", json={"trigger_id": trigger, "view": view})
    found: dict[str, Any] = answer["view"]
    return found


async def test_modals_are_stacked_three_high(slack: SlackSim, client: AsyncWebClient) -> None:
    first = await shown(slack, client, modal("one"))
    second = await shown(slack, client, modal("two"), "push")
    third = await shown(slack, client, modal("three"), "push")
    assert titles(slack) == ["one", "two", "three"]
    assert third["root_view_id"] == first["id"]
    assert third["previous_view_id"] == second["id"]
    with pytest.raises(SlackApiError, match="push_limit_reached"):
        await shown(slack, client, modal("four"), "push")
    await slack.close("ana")
    assert titles(slack) == ["one", "two"]
    await shown(slack, client, modal("new"))
    assert titles(slack) == ["new"]


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        (None, ["one"]),
        ("", ["one"]),
        ({"response_action": "clear"}, []),
        ({"response_action": "update", "view": modal("other")}, ["one", "other"]),
        ({"response_action": "push", "view": modal("three")}, ["one", "two", "three"]),
    ],
)
async def test_an_answer_changes_the_stack(
    slack: SlackSim, client: AsyncWebClient, answer: Any, left: list[str]
) -> None:
    await shown(slack, client, modal("one"))
    await shown(slack, client, modal("two"), "push")
    view = slack.modal("ana")
    assert view is not None
    to_submission(slack.parts.slack, view, answer)
    assert titles(slack) == left


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"response_action": "dance"}, "invalid_payload"),
        ({"text": "x"}, "invalid_payload"),
        ({"response_action": "errors", "errors": {}}, "invalid_payload"),
        ({"response_action": "errors", "errors": {"nowhere": "x"}}, "block_not_found"),
        ({"response_action": "errors", "errors": {"reason": 1}}, "invalid_payload"),
        ({"response_action": "update", "view": {"type": "modal"}}, "invalid_arguments"),
    ],
)
async def test_an_answer_that_means_nothing_is_refused(
    slack: SlackSim, client: AsyncWebClient, answer: Any, error: str
) -> None:
    await shown(slack, client, MODAL)
    view = slack.modal("ana")
    assert view is not None
    with pytest.raises(SlackError, match=error):
        to_submission(slack.parts.slack, view, answer)
    assert slack.modal("ana") is view


async def test_an_update_from_an_older_look_is_refused(slack: SlackSim, client: AsyncWebClient) -> None:
    view = await shown(slack, client, modal("one", external_id="mine"))
    updated = await client.views_update(
        external_id="mine", hash=view["hash"], view=modal("two", external_id="mine")
    )
    assert titles(slack) == ["two"]
    assert updated["view"]["hash"] != view["hash"]
    with pytest.raises(SlackApiError, match="hash_conflict"):
        await client.views_update(view_id=view["id"], hash=view["hash"], view=modal("three"))
    with pytest.raises(SlackApiError, match="duplicate_external_id"):
        await shown(slack, client, modal("x", external_id="mine"), "push")


async def test_what_was_entered_stays_where_the_field_stays(slack: SlackSim, bot: Bot) -> None:
    message = slack.message(
        (await bot.client.chat_postMessage(channel="CDEPLOYS", text="x", blocks=BUTTONS))["ts"]
    )
    assert message is not None
    await slack.click("ana", message, "approve")
    view = await slack.until(lambda: slack.modal("ana"))
    await slack.submit("ana", {"reason": "wrong"})
    await bot.client.views_update(view_id=view.id, view={**MODAL, "blocks": [section(), MODAL["blocks"][0]]})
    assert view.values == {"reason": {"text": {"type": "plain_text_input", "value": "wrong"}}}
    assert view.errors == {}


async def test_a_modal_without_a_submit_button_is_only_closed(
    slack: SlackSim, client: AsyncWebClient
) -> None:
    content = modal("read")
    del content["submit"]
    await shown(slack, client, content)
    with pytest.raises(Impossible, match="no button to submit"):
        await slack.submit("ana")
    assert await slack.close("ana") is None


async def test_a_home_is_published_for_one_person(slack: SlackSim, client: AsyncWebClient) -> None:
    first = await client.views_publish(user_id="UANA", view={"type": "home", "blocks": BUTTONS})
    second = await client.views_publish(user_id="UANA", view={"type": "home", "blocks": []})
    assert first["view"]["id"] == second["view"]["id"]
    assert slack.home("ben") is None
    with pytest.raises(SlackApiError, match="hash_conflict"):
        await client.views_publish(user_id="UANA", hash="old", view={"type": "home", "blocks": []})


async def test_a_view_is_not_larger_than_slack_takes(slack: SlackSim, client: AsyncWebClient) -> None:
    with pytest.raises(SlackApiError, match="view_too_large"):
        await shown(slack, client, modal("x", blocks=[section("x" * 3000)] * 90))
    with pytest.raises(SlackApiError, match="invalid_trigger_id"):
        await client.views_open(trigger_id="1.2.3", view=modal("x"))
