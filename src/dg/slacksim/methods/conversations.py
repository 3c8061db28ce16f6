"""Conversations: which there are, who is in them, and what was said."""

from __future__ import annotations

from collections.abc import Iterable

from dg.slacksim.errors import SlackError, wrong
from dg.slacksim.messages import Conversation, Json, Kind, Message
from dg.slacksim.methods import content
from dg.slacksim.methods.arguments import Arguments
from dg.slacksim.methods.chat import shown
from dg.slacksim.workspace import Workspace

KINDS: dict[str, Kind | None] = {
    "public_channel": "public",
    "private_channel": "private",
    "im": "im",
    "mpim": None,
}
HISTORY: dict[Kind, str] = {"public": "channels:history", "private": "groups:history", "im": "im:history"}
READ: dict[Kind, str] = {"public": "channels:read", "private": "groups:read", "im": "im:read"}


def list_(slack: Workspace, arguments: Arguments) -> Json:
    kinds = set()
    for name in (arguments.optional("types") or "public_channel").split(","):
        if name.strip() not in KINDS:
            raise SlackError("invalid_types")
        kinds.add(KINDS[name.strip()])
    exclude = arguments.flag("exclude_archived")
    found = [
        each.as_json(slack.app.user_id)
        for each in slack.conversations.values()
        if each.kind in kinds and not (exclude and each.archived) and _visible(slack, each)
    ]
    page, rest = arguments.page(found)
    return {"ok": True, "channels": page, **rest}


def _visible(slack: Workspace, channel: Conversation) -> bool:
    return READ[channel.kind] in slack.scopes and (
        channel.kind == "public" or slack.app.user_id in channel.members
    )


def info(slack: Workspace, arguments: Arguments) -> Json:
    channel = content.conversation(slack, arguments)
    slack.check_scope(READ[channel.kind])
    return {"ok": True, "channel": channel.as_json(slack.app.user_id)}


def members(slack: Workspace, arguments: Arguments) -> Json:
    channel = content.conversation(slack, arguments)
    slack.check_scope(READ[channel.kind])
    page, rest = arguments.page(sorted(channel.members))
    return {"ok": True, "members": page, **rest}


def history(slack: Workspace, arguments: Arguments) -> Json:
    channel = _readable(slack, arguments)
    found = [each for each in channel.messages.values() if each.top_level]
    return _listed(slack, channel, arguments, reversed(found))


def replies(slack: Workspace, arguments: Arguments) -> Json:
    channel = _readable(slack, arguments)
    parent = channel.messages.get(arguments.text("ts"))
    if parent is None:
        raise SlackError("thread_not_found")
    return _listed(slack, channel, arguments, [parent, *channel.replies(parent.ts)])


def _readable(slack: Workspace, arguments: Arguments) -> Conversation:
    channel = content.conversation(slack, arguments)
    slack.check_scope(HISTORY[channel.kind])
    content.joined(slack, channel)
    return channel


def _listed(slack: Workspace, channel: Conversation, arguments: Arguments, found: Iterable[Message]) -> Json:
    oldest, latest = arguments.moment("oldest"), arguments.moment("latest")
    inclusive = arguments.flag("inclusive")
    within = [each for each in found if _between(float(each.ts), oldest, latest, inclusive)]
    metadata = arguments.flag("include_all_metadata") and "metadata.message:read" in slack.scopes
    page, rest = arguments.page(within)
    messages = [_in_history(slack, channel, each, metadata=metadata) for each in page]
    more = bool(rest["response_metadata"]["next_cursor"])
    return {"ok": True, "messages": messages, "has_more": more, **(rest if more else {})}


def _between(ts: float, oldest: float | None, latest: float | None, inclusive: bool) -> bool:
    after = oldest is None or ts > oldest or (inclusive and ts == oldest)
    before = latest is None or ts < latest or (inclusive and ts == latest)
    return after and before


def _in_history(slack: Workspace, channel: Conversation, message: Message, *, metadata: bool) -> Json:
    value = shown(slack, message)
    if not metadata:
        value.pop("metadata", None)
    if answers := channel.replies(message.ts):
        people = list(dict.fromkeys(each.user for each in answers))
        value |= {
            "thread_ts": message.ts,
            "reply_count": len(answers),
            "reply_users": people,
            "reply_users_count": len(people),
            "latest_reply": answers[-1].ts,
        }
    return value


def open_(slack: Workspace, arguments: Arguments) -> Json:
    if arguments.has("channel"):
        channel = content.conversation(slack, arguments)
        if channel.kind != "im":
            raise SlackError("channel_not_found")
        return {"ok": True, "channel": channel.as_json(slack.app.user_id)}
    names = arguments.text("users").split(",")
    if len(names) != 1:
        raise wrong("invalid_arguments", ["this Slack opens conversations with one person only"])
    user = slack.users.get(names[0])
    if user is None or user.id == slack.app.user_id:
        raise SlackError("user_not_found")
    if user.deleted:
        raise SlackError("user_disabled")
    return {"ok": True, "channel": {"id": slack.direct(user).id}}


def join(slack: Workspace, arguments: Arguments) -> Json:
    channel = content.conversation(slack, arguments)
    if channel.kind != "public":
        raise SlackError("method_not_supported_for_channel_type")
    if channel.archived:
        raise SlackError("is_archived")
    already = {"warning": "already_in_channel"} if slack.app.user_id in channel.members else {}
    channel.members.add(slack.app.user_id)
    slack.changed()
    return {"ok": True, "channel": channel.as_json(slack.app.user_id), **already}
