"""Messages: posted, edited, deleted, shown to one person, linked to, reacted to."""

from __future__ import annotations

import re

from dg.slacksim.blockkit import with_ids
from dg.slacksim.errors import SlackError, wrong
from dg.slacksim.messages import Conversation, Json, Message
from dg.slacksim.methods import content
from dg.slacksim.methods.arguments import Arguments
from dg.slacksim.workspace import Workspace

MOST_UNFURLS = 20
MOST_REACTIONS = 50


def post_message(slack: Workspace, arguments: Arguments) -> Json:
    channel = content.destination(slack, arguments)
    given = content.checked(arguments)
    content.something(given)
    message = new_message(slack, channel, given)
    message.metadata = content.metadata(arguments) or None
    message.thread_ts = _thread(channel, arguments)
    message.broadcast = bool(message.thread_ts) and arguments.flag("reply_broadcast")
    slack.keep(message)
    return {"ok": True, "channel": channel.id, "ts": message.ts, "message": shown(slack, message)}


def new_message(slack: Workspace, channel: Conversation, given: Json) -> Message:
    """A message of the app, not yet kept."""
    message = Message(slack.next_ts(), channel.id, slack.app.user_id, "", bot_id=slack.app.bot_id)
    _take_over(slack, message, given)
    return message


def shown(slack: Workspace, message: Message) -> Json:
    """A message as it stands in answers and payloads."""
    more = {"app_id": slack.app.id, "team": slack.world.team.id} if message.bot_id else {}
    return {**message.as_json(metadata="metadata.message:read" in slack.scopes), **more}


def _thread(channel: Conversation, arguments: Arguments) -> str | None:
    thread = arguments.optional("thread_ts")
    if not thread:
        return None
    parent = channel.messages.get(thread)
    if parent is None:
        raise SlackError("thread_not_found")
    return parent.thread_ts or parent.ts


def update(slack: Workspace, arguments: Arguments) -> Json:
    channel = content.conversation(slack, arguments)
    message = _own(slack, channel, arguments, "cant_update_message")
    content.writable(slack, channel)
    given = content.checked(arguments)
    if not given:
        raise SlackError("no_text")
    metadata = content.metadata(arguments)
    edit(slack, message, given)
    if metadata is not None:
        message.metadata = metadata or None
    slack.keep(message)
    return {
        "ok": True,
        "channel": channel.id,
        "ts": message.ts,
        "text": message.text,
        "message": shown(slack, message),
    }


def edit(slack: Workspace, message: Message, given: Json) -> None:
    """Take over what is given. A text without blocks takes the place of the blocks that were there, and only
    then is the message marked as edited."""
    if "text" in given and "blocks" not in given:
        given = {**given, "blocks": []}
    _take_over(slack, message, given)
    if not given.get("blocks"):
        message.edited = slack.next_ts()
    message.edits += 1


def _take_over(slack: Workspace, message: Message, given: Json) -> None:
    message.text = given.get("text", message.text)
    if "blocks" in given:
        message.blocks = with_ids(given["blocks"], slack.new_id)
        message.values = {}
    if "attachments" in given:
        message.attachments = [_identified(slack, each) for each in given["attachments"]]


def _identified(slack: Workspace, attachment: Json) -> Json:
    if "blocks" not in attachment:
        return attachment
    return {**attachment, "blocks": with_ids(attachment["blocks"], slack.new_id)}


def _own(slack: Workspace, channel: Conversation, arguments: Arguments, not_own: str) -> Message:
    message = channel.messages.get(arguments.text("ts"))
    if message is None or message.deleted:
        raise SlackError("message_not_found")
    if message.user != slack.app.user_id:
        raise SlackError(not_own)
    return message


def delete(slack: Workspace, arguments: Arguments) -> Json:
    channel = content.conversation(slack, arguments)
    message = _own(slack, channel, arguments, "cant_delete_message")
    take_away(slack, channel, message)
    return {"ok": True, "channel": channel.id, "ts": message.ts}


def take_away(slack: Workspace, channel: Conversation, message: Message) -> None:
    """Delete a message; where replies hang on it, something says that it was there."""
    if channel.replies(message.ts):
        message.deleted = True
        message.blocks, message.attachments, message.text = [], [], ""
        slack.keep(message)
    else:
        slack.remove(message)


def post_ephemeral(slack: Workspace, arguments: Arguments) -> Json:
    channel = content.conversation(slack, arguments)
    content.writable(slack, channel)
    user = arguments.text("user")
    if user not in slack.users:
        raise SlackError("user_not_found")
    if user not in channel.members:
        raise SlackError("user_not_in_channel")
    given = content.checked(arguments)
    content.something(given)
    message = new_message(slack, channel, given)
    message.only_for = user
    message.thread_ts = _thread(channel, arguments)
    slack.keep(message)
    return {"ok": True, "message_ts": message.ts}


def get_permalink(slack: Workspace, arguments: Arguments) -> Json:
    channel = content.conversation(slack, arguments)
    ts = arguments.text("message_ts")
    if ts not in channel.messages:
        raise SlackError("message_not_found")
    return {"ok": True, "channel": channel.id, "permalink": permalink(slack, channel, ts)}


def permalink(slack: Workspace, channel: Conversation, ts: str) -> str:
    return f"https://{slack.world.team.domain}.slack.example/archives/{channel.id}/p{ts.replace('.', '')}"


def unfurl(slack: Workspace, arguments: Arguments) -> Json:
    channel = content.conversation(slack, arguments)
    message = channel.messages.get(arguments.text("ts"))
    if message is None:
        raise SlackError("cannot_find_message")
    unfurls = arguments.structure("unfurls", "cannot_parse_attachment")
    if not unfurls:
        raise SlackError("missing_unfurls")
    if not isinstance(unfurls, dict) or len(unfurls) > MOST_UNFURLS:
        raise SlackError("invalid_unfurls_format")
    for address, each in unfurls.items():
        if address not in message.text.replace("&amp;", "&"):
            raise SlackError("cannot_unfurl_message")
        _check_unfurl(each, address)
    message.unfurls.update(unfurls)
    slack.keep(message)
    return {"ok": True}


def _check_unfurl(unfurl_: object, address: str) -> None:
    if not isinstance(unfurl_, dict):
        raise SlackError("invalid_unfurls_format")
    known = {"blocks", "text", "title", "color", "fallback", "preview", "hide_color"}
    if surplus := unfurl_.keys() - known:
        raise wrong("invalid_unfurls_format", [f"invalid property: {min(surplus)[:100]} of {address[:200]}"])
    if "blocks" in unfurl_:
        unfurl_["blocks"] = content.good_blocks(unfurl_["blocks"])


def add_reaction(slack: Workspace, arguments: Arguments) -> Json:
    channel = content.conversation(slack, arguments)
    content.joined(slack, channel)
    message = channel.messages.get(arguments.text("timestamp"))
    if message is None:
        raise SlackError("message_not_found")
    name = arguments.text("name")
    if not re.fullmatch(r"[a-z0-9_+'-]{1,100}", name):
        raise SlackError("invalid_name")
    if name not in message.reactions and len(message.reactions) >= MOST_REACTIONS:
        raise SlackError("too_many_emoji")
    people = message.reactions.setdefault(name, [])
    if slack.app.user_id in people:
        raise SlackError("already_reacted")
    people.append(slack.app.user_id)
    slack.keep(message)
    return {"ok": True}
