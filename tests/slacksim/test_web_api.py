"""The methods over HTTP with slack-sdk: what they do, and what they refuse in Slack's words."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from tests.slacksim.conftest import section

from dg.slacksim.sim import SlackSim
from dg.slacksim.workspace import Standing

NOBODY = "U0NOBODY"


async def refused(call: Any) -> dict[str, Any]:
    """What a call was refused with."""
    with pytest.raises(SlackApiError) as caught:
        await call
    answer = caught.value.response
    return {**answer.data, "status": answer.status_code}


async def test_the_app_learns_who_it_is(client: AsyncWebClient) -> None:
    answer = await client.auth_test()
    assert (answer["team_id"], answer["user_id"], answer["bot_id"]) == ("T0HOME", "U0DGBOT", "B0DG")
    assert "chat:write" in answer.headers["x-oauth-scopes"]


async def test_a_message_is_posted_edited_and_deleted(slack: SlackSim, client: AsyncWebClient) -> None:
    metadata = {"event_type": "dg_message", "event_payload": {"key": "dep:7"}}
    posted = await client.chat_postMessage(
        channel="CDEPLOYS", text="one", blocks=[section("one")], metadata=metadata
    )
    assert posted["message"]["blocks"][0]["block_id"]
    same = {"channel": "CDEPLOYS", "ts": posted["ts"]}
    edited = await client.api_call("chat.update", json={**same, "text": "two", "blocks": [section("two")]})
    assert (edited["text"], edited["message"]["blocks"][0]["text"]["text"]) == ("two", "two")
    assert "edited" not in edited["message"], "a message of blocks is not marked"
    edited = await client.api_call("chat.update", json={**same, "attachments": [{"text": "more"}]})
    assert edited["message"]["blocks"][0]["text"]["text"] == "two", "blocks stay when no text is given"
    edited = await client.api_call("chat.update", json={**same, "text": "three"})
    assert edited["message"]["edited"]["user"] == "U0DGBOT"
    (message,) = slack.messages()
    assert (message.text, message.blocks, message.edits) == ("three", [], 3), "a text takes their place"
    assert message.attachments == [{"text": "more"}]
    assert message.metadata == metadata
    await client.chat_delete(channel="CDEPLOYS", ts=posted["ts"])
    assert slack.messages() == []
    assert (await refused(client.chat_update(channel="CDEPLOYS", ts=posted["ts"], text="x")))[
        "error"
    ] == "message_not_found"


async def test_a_lost_post_is_found_by_its_metadata(slack: SlackSim, client: AsyncWebClient) -> None:
    metadata = {"event_type": "dg_message", "event_payload": {"key": "dep:7"}}
    slack.fault(kind="reset", method="chat.postMessage", applied=True, times=1)
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel="CDEPLOYS", text="one", metadata=metadata)
    found = await client.conversations_history(channel="CDEPLOYS", include_all_metadata=True)
    assert [each["metadata"] for each in found["messages"]] == [metadata]
    assert "metadata" not in (await client.conversations_history(channel="CDEPLOYS"))["messages"][0]


async def test_a_thread_hangs_on_its_message(slack: SlackSim, client: AsyncWebClient) -> None:
    parent = (await client.chat_postMessage(channel="CDEPLOYS", text="parent"))["ts"]
    await client.chat_postMessage(channel="CDEPLOYS", text="quiet", thread_ts=parent)
    await client.chat_postMessage(channel="CDEPLOYS", text="loud", thread_ts=parent, reply_broadcast=True)
    assert [each.text for each in slack.messages()] == ["parent", "loud"]
    assert [each.text for each in slack.messages(thread_ts=parent)] == ["quiet", "loud"]
    replies = await client.conversations_replies(channel="CDEPLOYS", ts=parent)
    assert [each["text"] for each in replies["messages"]] == ["parent", "quiet", "loud"]
    assert replies["messages"][0]["reply_count"] == 2
    await client.chat_delete(channel="CDEPLOYS", ts=parent)
    assert slack.messages()[0].deleted, "replies hang on it"


async def test_history_comes_in_pages_newest_first(client: AsyncWebClient) -> None:
    stamps = [(await client.chat_postMessage(channel="CDEPLOYS", text=str(n)))["ts"] for n in range(5)]
    pages = await client.conversations_history(channel="CDEPLOYS", limit=2)
    seen = [[each["text"] for each in page["messages"]] async for page in pages]
    assert seen == [["4", "3"], ["2", "1"], ["0"]]
    newer = await client.conversations_history(channel="CDEPLOYS", oldest=stamps[2])
    assert [each["text"] for each in newer["messages"]] == ["4", "3"]
    with_it = await client.conversations_history(channel="CDEPLOYS", oldest=stamps[2], inclusive=True)
    assert [each["text"] for each in with_it["messages"]] == ["4", "3", "2"]


async def test_a_person_is_written_to_directly(slack: SlackSim, client: AsyncWebClient) -> None:
    opened = await client.conversations_open(users="UANA")
    answer = await client.chat_postMessage(channel="UANA", text="psst")
    assert answer["channel"] == opened["channel"]["id"] == "DANA"
    assert [each.text for each in slack.direct("ana")] == ["psst"]


async def test_people_groups_and_channels_are_as_declared(client: AsyncWebClient) -> None:
    assert (await client.users_lookupByEmail(email="BEN@shop.example"))["user"]["id"] == "UBEN"
    guest = (await client.users_info(user="UGUS"))["user"]
    assert guest["is_restricted"] is True
    stranger = (await client.users_info(user="USAM"))["user"]
    assert stranger["is_stranger"] is True
    assert "email" not in stranger["profile"]
    groups = (await client.usergroups_list(include_users=True))["usergroups"]
    assert groups[0]["users"] == ["UANA", "UBEN"]
    assert (await client.usergroups_users_list(usergroup="SRELEASEMANAGERS"))["users"] == ["UANA", "UBEN"]
    channels = (await client.conversations_list(types="public_channel,private_channel"))["channels"]
    assert [each["name"] for each in channels] == ["deploys", "incidents", "staging", "partner"]
    members = (await client.conversations_members(channel="CSTAGING"))["members"]
    assert members == ["U0DGBOT", "UANA", "UBEN", "UGUS"]
    assert (await client.conversations_info(channel="CPARTNER"))["channel"]["is_ext_shared"] is True
    assert (await client.bots_info(bot="B0DG"))["bot"]["name"] == "dg"


async def test_a_file_is_shown_in_a_thread(slack: SlackSim, client: AsyncWebClient) -> None:
    parent = (await client.chat_postMessage(channel="CDEPLOYS", text="parent"))["ts"]
    await client.files_upload_v2(
        channel="CDEPLOYS", thread_ts=parent, content="line 1\nline 2", filename="log.txt", title="Log"
    )
    (shared,) = slack.messages(thread_ts=parent)
    assert shared.attachments == [{"title": "Log", "text": "```line 1\nline 2```"}]


async def test_a_reaction_is_given_once(slack: SlackSim, client: AsyncWebClient) -> None:
    ts = (await client.chat_postMessage(channel="CDEPLOYS", text="x"))["ts"]
    await client.reactions_add(channel="CDEPLOYS", timestamp=ts, name="eyes")
    again = await refused(client.reactions_add(channel="CDEPLOYS", timestamp=ts, name="eyes"))
    assert again["error"] == "already_reacted"
    assert slack.messages()[0].reactions == {"eyes": ["U0DGBOT"]}


async def test_the_problems_of_blocks_are_listed_with_their_places(client: AsyncWebClient) -> None:
    answer = await refused(
        client.chat_postMessage(channel="CDEPLOYS", text="x", blocks=[section("x" * 3001)])
    )
    assert answer["error"] == "invalid_blocks"
    problem = "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"
    assert answer["errors"] == [problem]
    assert answer["response_metadata"]["messages"] == [f"[ERROR] {problem}"]
    assert answer["status"] == 200


@pytest.mark.parametrize(
    ("method", "arguments", "error"),
    [
        ("chat.postMessage", {"text": "x"}, "invalid_arguments"),
        ("chat.postMessage", {"channel": "C0NONE", "text": "x"}, "channel_not_found"),
        ("chat.postMessage", {"channel": "CBOARD", "text": "x"}, "channel_not_found"),
        ("chat.postMessage", {"channel": "CDEPLOYS"}, "no_text"),
        ("chat.postMessage", {"channel": "CDEPLOYS", "text": "x" * 40_001}, "msg_too_long"),
        ("chat.postMessage", {"channel": "CDEPLOYS", "text": ["x"]}, "invalid_arguments"),
        (
            "chat.postMessage",
            {"channel": "CDEPLOYS", "blocks": [section("x" * 2700)] * 5},
            "msg_blocks_too_long",
        ),
        ("chat.postMessage", {"channel": "CDEPLOYS", "blocks": "[{"}, "invalid_blocks_format"),
        ("chat.postMessage", {"channel": "CDEPLOYS", "blocks": {}}, "invalid_blocks_format"),
        ("chat.postMessage", {"channel": "CDEPLOYS", "text": "x", "thread_ts": "1.2"}, "thread_not_found"),
        ("chat.postMessage", {"channel": "CDEPLOYS", "text": "x", "metadata": []}, "invalid_metadata_format"),
        (
            "chat.postMessage",
            {
                "channel": "CDEPLOYS",
                "text": "x",
                "metadata": {"event_type": "k", "event_payload": {"k": "x" * 8000}},
            },
            "metadata_too_large",
        ),
        ("chat.postMessage", {"channel": "CDEPLOYS", "attachments": [{}] * 101}, "too_many_attachments"),
        ("chat.update", {"channel": "CDEPLOYS", "ts": "1.2", "text": "x"}, "message_not_found"),
        ("chat.delete", {"channel": "CDEPLOYS", "ts": "1.2"}, "message_not_found"),
        ("chat.postEphemeral", {"channel": "CDEPLOYS", "user": NOBODY, "text": "x"}, "user_not_found"),
        ("chat.postEphemeral", {"channel": "CDEPLOYS", "user": "UGUS", "text": "x"}, "user_not_in_channel"),
        ("chat.getPermalink", {"channel": "CDEPLOYS", "message_ts": "1.2"}, "message_not_found"),
        ("chat.unfurl", {"channel": "CDEPLOYS", "ts": "1.2", "unfurls": {}}, "cannot_find_message"),
        ("conversations.history", {"channel": "CDEPLOYS", "limit": 1000}, "invalid_arguments"),
        ("conversations.history", {"channel": "CDEPLOYS", "cursor": "x"}, "invalid_cursor"),
        ("conversations.history", {"channel": "CDEPLOYS", "oldest": "nan"}, "invalid_ts_oldest"),
        ("conversations.replies", {"channel": "CDEPLOYS", "ts": "1.2"}, "thread_not_found"),
        ("conversations.list", {"types": "secret"}, "invalid_types"),
        ("conversations.open", {"users": NOBODY}, "user_not_found"),
        ("users.info", {"user": NOBODY}, "user_not_found"),
        ("users.lookupByEmail", {"email": "no@shop.example"}, "users_not_found"),
        ("usergroups.users.list", {"usergroup": "S0NONE"}, "no_such_subteam"),
        ("views.open", {"trigger_id": "x", "view": {"type": "modal"}}, "invalid_arguments"),
        ("views.update", {"view_id": "V0NONE", "view": {}}, "not_found"),
        ("views.publish", {"user_id": NOBODY, "view": {}}, "user_not_found"),
        ("reactions.add", {"channel": "CDEPLOYS", "timestamp": "1.2", "name": "x"}, "message_not_found"),
        ("files.completeUploadExternal", {"files": [{"id": "F0NONE"}]}, "file_not_found"),
        ("chat.nonsense", {}, "unknown_method"),
        ("apps.connections.open", {}, "not_allowed_token_type"),
    ],
)
async def test_a_wrong_call_is_refused_in_slacks_words(
    client: AsyncWebClient, method: str, arguments: dict[str, Any], error: str
) -> None:
    assert (await refused(client.api_call(method, json=arguments)))["error"] == error


async def test_membership_and_archiving_are_respected(slack: SlackSim, client: AsyncWebClient) -> None:
    await slack.parts.admin.remove("staging")
    assert (await refused(client.chat_postMessage(channel="CSTAGING", text="x")))["error"] == "not_in_channel"
    assert (await refused(client.conversations_history(channel="CSTAGING")))["error"] == "not_in_channel"
    await slack.parts.admin.invite("staging")
    ts = (await client.chat_postMessage(channel="CSTAGING", text="x"))["ts"]
    await slack.parts.admin.archive("staging")
    assert (await refused(client.chat_postMessage(channel="CSTAGING", text="x")))["error"] == "is_archived"
    assert (await refused(client.chat_update(channel="CSTAGING", ts=ts, text="y")))["error"] == "is_archived"


async def test_a_message_of_somebody_else_is_not_touched(slack: SlackSim, client: AsyncWebClient) -> None:
    said = await slack.say("ana", "mine")
    edit = client.chat_update(channel="CDEPLOYS", ts=said.ts, text="yours")
    assert (await refused(edit))["error"] == "cant_update_message"
    assert (await refused(client.chat_delete(channel="CDEPLOYS", ts=said.ts)))[
        "error"
    ] == "cant_delete_message"


@pytest.mark.parametrize(
    ("token", "error"),
    [("", "not_authed"), ("xoxb-other", "invalid_auth"), ("app", "not_allowed_token_type")],
)
async def test_a_wrong_token_is_refused(slack: SlackSim, token: str, error: str) -> None:
    client = AsyncWebClient(slack.app_token if token == "app" else token, base_url=slack.api_url)
    assert (await refused(client.auth_test()))["error"] == error


@pytest.mark.parametrize("standing", ["token_revoked", "account_inactive"])
async def test_a_token_can_end(slack: SlackSim, client: AsyncWebClient, standing: Standing) -> None:
    await slack.parts.admin.revoke(standing)
    assert (await refused(client.auth_test()))["error"] == standing
    slack.parts.admin.reinstall()
    assert (await client.auth_test())["ok"]


async def test_a_missing_scope_is_named(slack: SlackSim, client: AsyncWebClient) -> None:
    slack.parts.slack.scopes.discard("chat:write")
    slack.parts.slack.scopes.discard("channels:history")
    answer = await refused(client.chat_postMessage(channel="CDEPLOYS", text="x"))
    assert (answer["error"], answer["needed"]) == ("missing_scope", "chat:write")
    assert (await refused(client.conversations_history(channel="CDEPLOYS")))["needed"] == "channels:history"
    slack.parts.slack.scopes.discard("metadata.message:read")
    slack.parts.slack.scopes.discard("users:read.email")
    assert "email" not in (await client.users_info(user="UBEN"))["user"]["profile"]


async def test_requests_that_are_no_call_are_answered(slack: SlackSim) -> None:
    headers = {"Authorization": f"Bearer {slack.bot_token}"}
    url = f"{slack.api_url}auth.test"

    async def error(body: bytes | io.BytesIO, content_type: str) -> tuple[int, str]:
        typed = {**headers, "Content-Type": content_type}
        async with session.post(url, data=body, headers=typed) as answer:
            return answer.status, (await answer.json())["error"] if answer.status == 200 else ""

    async with aiohttp.ClientSession() as session:
        assert await error(b"{", "application/json") == (200, "invalid_json")
        assert await error(b"[" * 100_000, "application/json") == (200, "invalid_json")
        assert await error(b"[]", "application/json") == (200, "json_not_object")
        assert await error(b"a" * 10, "text/csv") == (200, "invalid_post_type")
        assert await error(b"a=1&" * 500, "application/x-www-form-urlencoded") == (200, "invalid_form_data")
        assert await error(b"\xff=\xff", "application/x-www-form-urlencoded") == (200, "invalid_form_data")
        assert await error(b"x", "multipart/form-data") == (200, "invalid_form_data")
        assert (await error(io.BytesIO(b"a" * 1_100_000), "application/json"))[0] == 413
        async with session.delete(url, headers=headers) as answer:
            assert answer.status == 405
        async with session.get(f"{slack.url}/nowhere") as answer:
            assert answer.status == 404


async def test_a_response_url_is_good_five_times(slack: SlackSim) -> None:
    hook = f"{slack.url}/response/{slack.parts.slack.passes.hook('CDEPLOYS', 'UANA')}"
    async with aiohttp.ClientSession() as session:

        async def respond(body: Any, url: str = hook) -> tuple[int, str]:
            async with session.post(url, data=json.dumps(body)) as answer:
                return answer.status, await answer.text()

        assert await respond({"text": "one"}) == (200, "ok")
        for wrong, error in (
            ({}, "no_text"),
            ([], "json_not_object"),
            ({"text": "x", "colour": 1}, "invalid_arguments"),
            ({"blocks": [{}]}, "invalid_blocks"),
        ):
            status, text = await respond(wrong)
            assert (status, json.loads(text)["error"]) == (400, error)
        assert (await respond({"text": "x"}))[0] == 404
        assert (await respond({"text": "x"}, f"{slack.url}/response/none"))[0] == 404
    assert [each.text for each in slack.ephemerals("ana")] == ["one"]


async def test_what_was_acted_on_can_be_replaced_and_deleted(slack: SlackSim, client: AsyncWebClient) -> None:
    ts = (await client.chat_postMessage(channel="CDEPLOYS", text="one", blocks=[section()]))["ts"]
    hook = f"{slack.url}/response/{slack.parts.slack.passes.hook('CDEPLOYS', 'UANA', ts)}"
    async with aiohttp.ClientSession() as session:
        for body in ({"text": "two", "replace_original": True}, {"delete_original": True}):
            async with session.post(hook, json=body) as answer:
                assert answer.status == 200
            if "text" in body:
                assert [(each.text, each.blocks) for each in slack.messages()] == [("two", [])]
    assert slack.messages() == []


async def test_messages_do_not_grow_for_ever(
    slack: SlackSim, client: AsyncWebClient, monkeypatch: Any
) -> None:
    monkeypatch.setattr(slack.parts.slack._shelf, "_most_bytes", 20_000)
    for number in range(10):
        await client.chat_postMessage(channel="CDEPLOYS", text=f"{number} " + "x" * 4000)
    assert [each.text[0] for each in slack.messages()] == ["6", "7", "8", "9"]
    assert slack.parts.slack._shelf._total <= 20_000


async def test_posts_at_once_have_timestamps_of_their_own(client: AsyncWebClient) -> None:
    posts = [client.chat_postMessage(channel="CDEPLOYS", text=str(number)) for number in range(20)]
    stamps = [each["ts"] for each in await asyncio.gather(*posts)]
    assert len(set(stamps)) == 20
