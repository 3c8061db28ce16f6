"""What Slack says to the app, as JSON: commands, interactions, events."""

from __future__ import annotations

import html
import re
from typing import Any

from dg.slacksim.choosing import state
from dg.slacksim.messages import Conversation, Message
from dg.slacksim.methods.chat import shown
from dg.slacksim.surfaces import View
from dg.slacksim.users import User
from dg.slacksim.workspace import Workspace

Json = dict[str, Any]
VERIFICATION = "slack-sim"
"""The old token that stands in every payload; signatures took its place."""

_NAME = re.compile(r"(?<![\w<@#])([@#])([a-z0-9][a-z0-9._-]{0,79})")
_LINK = re.compile(r"(?<![<\w])https?://[^\s<>|]+")


def command(slack: Workspace, user: User, channel: Conversation, name: str, text: str) -> Json:
    team = _team(slack, user)
    if slack.app.should_escape:
        text = written(slack, text)
    place = {"im": "directmessage", "private": "privategroup"}.get(channel.kind, channel.name)
    return {
        "token": VERIFICATION,
        "team_id": team["id"],
        "team_domain": team["domain"],
        "channel_id": channel.id,
        "channel_name": place,
        "user_id": user.id,
        "user_name": user.name,
        "command": name,
        "text": text,
        "api_app_id": slack.app.id,
        "is_enterprise_install": "false",
        "response_url": response_url(slack, channel, user),
        "trigger_id": slack.passes.trigger(user.id),
    }


def written(slack: Workspace, text: str) -> str:
    """A person's text as Slack hands it on: control characters escaped, names as ids."""

    def identified(match: re.Match[str]) -> str:
        name = match[2]
        if match[1] == "#":
            channel = slack.named(name)
            return f"<#{channel.id}|{channel.name}>" if channel else match[0]
        user = next((each for each in slack.users.values() if each.name == name), None)
        if user:
            return f"<@{user.id}|{user.name}>"
        group = slack.group_named(name)
        return f"<!subteam^{group.id}|@{group.handle}>" if group else match[0]

    return _NAME.sub(identified, html.escape(text, quote=False))


def linked(text: str) -> str:
    """Escaped text with its addresses as links."""
    return _LINK.sub(lambda match: f"<{match[0]}>", text)


def response_url(slack: Workspace, channel: Conversation, user: User, message: Message | None = None) -> str:
    return (
        f"{slack.base_url}/response/{slack.passes.hook(channel.id, user.id, message.ts if message else None)}"
    )


def interaction(slack: Workspace, kind: str, user: User) -> Json:
    """What every interaction begins with."""
    return {
        "type": kind,
        "user": {"id": user.id, "username": user.name, "name": user.name, "team_id": user.team},
        "team": {"id": slack.world.team.id, "domain": slack.world.team.domain},
        "enterprise": None,
        "is_enterprise_install": False,
        "api_app_id": slack.app.id,
        "token": VERIFICATION,
    }


def in_message(slack: Workspace, user: User, message: Message) -> Json:
    """Where an action was: in a message. Of an ephemeral one Slack tells no content."""
    channel = slack.conversations[message.channel]
    ephemeral = message.only_for is not None
    thread = {"thread_ts": message.thread_ts} if message.thread_ts else {}
    return {
        "container": {
            "type": "message",
            "message_ts": message.ts,
            "channel_id": channel.id,
            "is_ephemeral": ephemeral,
            **thread,
        },
        "channel": {"id": channel.id, "name": channel.name},
        "trigger_id": slack.passes.trigger(user.id),
        "response_url": response_url(slack, channel, user, message),
        "state": {"values": state(message.blocks, message.values)},
        **({} if ephemeral else {"message": shown(slack, message)}),
    }


def in_view(slack: Workspace, user: User, view: View) -> Json:
    """Where an action was: in a view, as it stands with what was entered."""
    return {
        "container": {"type": "view", "view_id": view.id},
        "view": viewed(slack, view),
        "trigger_id": slack.passes.trigger(user.id),
        "state": {"values": state(view.content["blocks"], view.values)},
    }


def viewed(slack: Workspace, view: View) -> Json:
    values = state(view.content["blocks"], view.values)
    return {**slack.views.as_json(view), "state": {"values": values}}


def action(slack: Workspace, block: Json, element: Json, value: Json) -> Json:
    """One entry of `actions`: the element, and what it now says."""
    named = ("text", "value", "style", "placeholder", "confirm")
    own = {name: element[name] for name in named if name in element}
    return {
        "type": element["type"],
        "action_id": element["action_id"],
        "block_id": block["block_id"],
        **own,
        **value,
        "action_ts": slack.next_ts(),
    }


def event(slack: Workspace, content: Json, *, shared: bool = False) -> Json:
    """The envelope of an event."""
    team = slack.world.team.id
    seen_by = {"enterprise_id": None, "team_id": team, "user_id": slack.app.user_id}
    return {
        "token": VERIFICATION,
        "team_id": team,
        "context_team_id": team,
        "api_app_id": slack.app.id,
        "event": {**content, "event_ts": content.get("event_ts") or slack.next_ts()},
        "type": "event_callback",
        "event_id": f"Ev0{slack.new_id()}",
        "event_time": slack.now(),
        "authorizations": [{**seen_by, "is_bot": True, "is_enterprise_install": False}],
        "is_ext_shared_channel": shared,
    }


def _team(slack: Workspace, user: User) -> Json:
    for team in slack.world.teams:
        if team.id == user.team:
            return {"id": team.id, "domain": team.domain}
    return {"id": slack.world.team.id, "domain": slack.world.team.domain}
