"""Whatever is sent, the simulator answers in Slack's words, and what it keeps has an end."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk.web.async_client import AsyncWebClient
from tests.slacksim.conftest import section
from tests.slacksim.test_blockkit import JSON, VIEW

from dg.core.testing import ManualClock
from dg.slacksim.errors import SlackError
from dg.slacksim.messages import Message
from dg.slacksim.methods.arguments import Arguments
from dg.slacksim.methods.files import Files
from dg.slacksim.methods.table import table
from dg.slacksim.passes import MOST, Hook
from dg.slacksim.responding import to_command, to_hook, to_submission, to_suggestion
from dg.slacksim.sim import SlackSim
from dg.slacksim.workspace import Workspace
from dg.slacksim.world import sample

METHODS = table(Files())
NAMES = [
    "channel",
    "text",
    "blocks",
    "attachments",
    "ts",
    "thread_ts",
    "message_ts",
    "timestamp",
    "user",
    "users",
    "user_id",
    "metadata",
    "view",
    "view_id",
    "trigger_id",
    "limit",
    "cursor",
    "oldest",
    "types",
    "email",
    "files",
    "filename",
    "length",
    "unfurls",
    "name",
    "hash",
]
KNOWN = [
    "CDEPLOYS",
    "#deploys",
    "UANA",
    "DANA",
    "1.000001",
    "VIEW",
    "next:1",
    "true",
    "",
    "{",
    "10",
    "x@y.example",
]
VALUES = JSON | st.sampled_from(KNOWN) | st.sampled_from([VIEW, {**VIEW, "type": "home"}, [section()]])


def workspace() -> Workspace:
    """One with a message and a modal that arguments may hit."""
    slack = Workspace(sample(), ManualClock())
    slack.keep(Message("1.000001", "CDEPLOYS", "U0DGBOT", "x", bot_id="B0DG"))
    slack.views.open("UANA", VIEW).content["external_id"] = "VIEW"
    slack.scopes |= {"channels:join", "im:read"}
    return slack


@given(st.sampled_from(sorted(METHODS)), st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6))
@settings(max_examples=150, deadline=None)
def test_every_method_answers_whatever_it_is_given(name: str, arguments: dict[str, Any]) -> None:
    slack = workspace()
    try:
        answer = METHODS[name].run(slack, Arguments(arguments))
    except SlackError as error:
        answer = error.body()
    assert json.loads(json.dumps(answer))["ok"] in (True, False)


@given(
    VALUES
    | st.dictionaries(
        st.sampled_from(["text", "blocks", "response_action", "errors", "view", "options"]), VALUES
    )
)
@settings(max_examples=80, deadline=None)
def test_every_answer_of_an_app_is_shown_or_a_mistake(body: Any) -> None:
    slack = workspace()
    user, channel = slack.person("ana"), slack.conversation("deploys")
    view = slack.views.stack(user.id)[0]
    for use in (
        lambda: to_command(slack, channel, user, body),
        lambda: to_hook(slack, Hook(channel.id, user.id, 0.0, "1.000001"), body),
        lambda: to_submission(slack, view, body),
        lambda: to_suggestion(body),
    ):
        with suppress(SlackError):
            use()
    assert json.dumps([each.as_json() for each in channel.ephemerals.values()])


def test_what_is_given_out_has_an_end() -> None:
    slack = workspace()
    first = slack.passes.trigger("UANA")
    for _ in range(MOST):
        slack.passes.trigger("UANA")
    with pytest.raises(SlackError, match="invalid_trigger_id"):
        slack.passes.exchange(first)
    for number in range(300):
        slack.views.publish(f"U{number}", {"type": "home", "blocks": []})
        slack.note(f"method {number}", {}, "unknown_method", applied=False)
    assert slack.views.home("U0") is None
    assert len(slack.counts) == 0


async def test_many_calls_at_once_are_all_answered(slack: SlackSim, client: AsyncWebClient) -> None:
    calls = [client.chat_postMessage(channel="CDEPLOYS", text=str(number)) for number in range(200)]
    answers = await asyncio.gather(*calls)
    assert all(each["ok"] for each in answers)
    assert len(slack.messages()) == 200


@pytest.mark.parametrize(
    "path", ["api/chat.postMessage", "response/x", "upload/x", "sim/command", "sim/faults", "link/"]
)
@pytest.mark.parametrize("body", [b"", b"\x00\xff", b"[" * 5000, b"null", b'{"a": 1}'])
async def test_no_request_is_an_error_of_the_simulator(slack: SlackSim, path: str, body: bytes) -> None:
    async with aiohttp.ClientSession() as session:
        for kind in (
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "x",
        ):
            headers = {"Content-Type": kind}
            async with session.post(f"{slack.url}/{path}", data=body, headers=headers) as answer:
                assert answer.status < 500, await answer.text()
        async with session.get(f"{slack.url}/{path}", headers={"Host": "\u00e9"}) as answer:
            assert answer.status < 500
