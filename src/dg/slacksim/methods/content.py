"""What a message may consist of, and into which conversation it may go."""

from __future__ import annotations

import json
from typing import Any

from dg.slacksim.blockkit import check_blocks, text_length
from dg.slacksim.errors import SlackError, wrong
from dg.slacksim.messages import Conversation, Json
from dg.slacksim.methods.arguments import Arguments
from dg.slacksim.workspace import Workspace

MOST_TEXT = 40_000
MOST_BLOCK_TEXT = 13_200
"""Characters of all blocks together: undocumented, seen by others."""

MOST_METADATA = 8_000
MOST_ATTACHMENTS = 100
EVENT_TYPE = 255


def conversation(slack: Workspace, arguments: Arguments, name: str = "channel") -> Conversation:
    """The one that is meant, which the app may know of. Raises SlackError."""
    found = slack.conversations.get(arguments.text(name))
    if found is None or (found.kind == "private" and slack.app.user_id not in found.members):
        raise SlackError("channel_not_found")
    return found


def destination(slack: Workspace, arguments: Arguments) -> Conversation:
    """Where to post: an id, a channel's name, or a person's id for a direct message. Raises SlackError."""
    named = arguments.text("channel")
    user = slack.users.get(named)
    found = slack.direct(user) if user and user.id != slack.app.user_id else slack.named(named)
    if found is None or (found.kind == "private" and slack.app.user_id not in found.members):
        raise SlackError("channel_not_found")
    writable(slack, found)
    return found


def writable(slack: Workspace, channel: Conversation) -> None:
    """Raises SlackError when the app may not write there now."""
    if channel.archived:
        raise SlackError("is_archived")
    everywhere = channel.kind == "public" and "chat:write.public" in slack.scopes
    if slack.app.user_id not in channel.members and not everywhere:
        raise SlackError("not_in_channel")


def joined(slack: Workspace, channel: Conversation) -> None:
    """Raises SlackError unless the app is a member."""
    if slack.app.user_id not in channel.members:
        raise SlackError("not_in_channel")


def checked(arguments: Arguments) -> Json:
    """`text`, `blocks` and `attachments` of a message, as far as they are given. Raises SlackError."""
    found: Json = {}
    if arguments.values.get("text") is not None:
        found["text"] = arguments.optional("text")
        if len(found["text"]) > MOST_TEXT:
            raise SlackError("msg_too_long")
    if (blocks := arguments.structure("blocks", "invalid_blocks_format")) is not None:
        found["blocks"] = good_blocks(blocks)
    if (attachments := arguments.structure("attachments", "invalid_attachments")) is not None:
        found["attachments"] = _good_attachments(attachments)
    return found


def good_blocks(blocks: Any) -> list[Json]:
    if not isinstance(blocks, list):
        raise SlackError("invalid_blocks_format")
    if problems := check_blocks(blocks):
        raise wrong("invalid_blocks", problems)
    if text_length(blocks) > MOST_BLOCK_TEXT:
        raise SlackError("msg_blocks_too_long")
    return blocks


def _good_attachments(attachments: Any) -> list[Json]:
    if not isinstance(attachments, list) or not all(isinstance(each, dict) for each in attachments):
        raise SlackError("invalid_attachments")
    if len(attachments) > MOST_ATTACHMENTS:
        raise SlackError("too_many_attachments")
    for each in attachments:
        if "blocks" in each:
            each["blocks"] = good_blocks(each["blocks"])
    return attachments


def something(content: Json) -> None:
    """Raises SlackError when there is nothing to show."""
    if not any(content.get(name) for name in ("text", "blocks", "attachments")):
        raise SlackError("no_text")


def metadata(arguments: Arguments) -> Json | None:
    """A message's metadata; empty when it is to go, None when it is not given. Raises SlackError."""
    value = arguments.structure("metadata", "invalid_metadata_format")
    if value is None or value == {}:
        return None if value is None else {}
    if not isinstance(value, dict) or value.keys() - {"event_type", "event_payload", "entities"}:
        raise SlackError("invalid_metadata_format")
    kind, payload = value.get("event_type"), value.get("event_payload")
    if not isinstance(kind, str) or not 0 < len(kind) <= EVENT_TYPE or not isinstance(payload, dict):
        raise SlackError("invalid_metadata_format")
    if len(json.dumps(value)) > MOST_METADATA:
        raise SlackError("metadata_too_large")
    return value
