"""Every method that this Slack has: what it needs and how often it may be called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from dg.slacksim.limits import POST, TIER_2, TIER_3, TIER_4
from dg.slacksim.messages import Json
from dg.slacksim.methods import apps, chat, conversations, users, views
from dg.slacksim.methods.arguments import Arguments
from dg.slacksim.methods.files import Files
from dg.slacksim.workspace import Workspace

Run = Callable[[Workspace, Arguments], Json]


@dataclass(frozen=True)
class Method:
    """One of `scopes` is needed, when there are any; `caller` says which of the app's two tokens."""

    run: Run
    scopes: tuple[str, ...] = ()
    per_minute: int = TIER_3
    caller: Literal["bot", "app"] = "bot"
    by_channel: bool = False
    """Its limit holds for each channel by itself."""


WRITE = ("chat:write",)
CHANNELS = ("channels:read", "groups:read", "im:read", "mpim:read")
HISTORY = ("channels:history", "groups:history", "im:history", "mpim:history")
OFTEN = 600
"""Calls a minute of methods with limits of their own."""


def table(files: Files) -> Mapping[str, Method]:
    """The methods by their names."""
    return {
        "apps.connections.open": Method(apps.open_connection, ("connections:write",), TIER_2, "app"),
        "auth.test": Method(apps.who_am_i, (), OFTEN),
        "bots.info": Method(apps.bot_info, ("users:read",), TIER_3),
        "chat.delete": Method(chat.delete, WRITE, TIER_3),
        "chat.getPermalink": Method(chat.get_permalink, (), OFTEN),
        "chat.postEphemeral": Method(chat.post_ephemeral, WRITE, TIER_4),
        "chat.postMessage": Method(chat.post_message, WRITE, POST, by_channel=True),
        "chat.unfurl": Method(chat.unfurl, ("links:write",), TIER_3),
        "chat.update": Method(chat.update, WRITE, TIER_3),
        "conversations.history": Method(conversations.history, HISTORY, TIER_3),
        "conversations.info": Method(conversations.info, CHANNELS, TIER_3),
        "conversations.join": Method(conversations.join, ("channels:join",), TIER_3),
        "conversations.list": Method(conversations.list_, CHANNELS, TIER_2),
        "conversations.members": Method(conversations.members, CHANNELS, TIER_4),
        "conversations.open": Method(conversations.open_, ("im:write",), TIER_3),
        "conversations.replies": Method(conversations.replies, HISTORY, TIER_3),
        "files.completeUploadExternal": Method(files.complete_upload, ("files:write",), TIER_4),
        "files.getUploadURLExternal": Method(files.get_upload_url, ("files:write",), TIER_4),
        "reactions.add": Method(chat.add_reaction, ("reactions:write",), TIER_3),
        "usergroups.list": Method(users.list_groups, ("usergroups:read",), TIER_2),
        "usergroups.users.list": Method(users.list_group_users, ("usergroups:read",), TIER_2),
        "users.info": Method(users.info, ("users:read",), TIER_4),
        "users.list": Method(users.list_, ("users:read",), TIER_2),
        "users.lookupByEmail": Method(users.lookup_by_email, ("users:read.email",), TIER_3),
        "views.open": Method(views.open_, (), TIER_4),
        "views.publish": Method(views.publish, (), TIER_4),
        "views.push": Method(views.push, (), TIER_4),
        "views.update": Method(views.update, (), TIER_4),
    }
