"""Messages and the conversations that hold them."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]
Kind = Literal["public", "private", "im"]


@dataclass
class Message:
    """One message as it stands now."""

    ts: str
    channel: str
    user: str
    text: str
    blocks: list[Json] = field(default_factory=list)
    attachments: list[Json] = field(default_factory=list)
    metadata: Json | None = None
    thread_ts: str | None = None
    bot_id: str | None = None
    broadcast: bool = False
    """A reply in a thread that also stands in the channel."""

    only_for: str | None = None
    """The one person who sees it: it is ephemeral."""

    edited: str | None = None
    """When it was last edited, as a ts."""

    edits: int = 0
    unfurls: dict[str, Json] = field(default_factory=dict)
    """What the app said of its links, by address."""

    reactions: dict[str, list[str]] = field(default_factory=dict)
    deleted: bool = False
    """Gone, but replies hang on it."""

    values: dict[str, dict[str, Json]] = field(default_factory=dict)
    """What was chosen in its selects and inputs: block, action, value."""

    @property
    def top_level(self) -> bool:
        return self.thread_ts is None or self.thread_ts == self.ts or self.broadcast

    def as_json(self, *, metadata: bool = False) -> Json:
        """What the Web API says of it; `metadata` only where it was asked for and may be read."""
        if self.deleted:
            gone = {"subtype": "tombstone", "user": "USLACKBOT", "text": "This message was deleted."}
            return {"type": "message", "ts": self.ts, "thread_ts": self.ts, **gone}
        edited = {"edited": {"user": self.user, "ts": self.edited}} if self.edited else {}
        reactions = [
            {"name": name, "users": users, "count": len(users)} for name, users in self.reactions.items()
        ]
        optional: Json = {
            "subtype": "thread_broadcast" if self.broadcast else None,
            "bot_id": self.bot_id,
            "thread_ts": self.thread_ts,
            "blocks": self.blocks,
            "attachments": [*self.attachments, *self._unfurled()],
            "reactions": reactions,
            "metadata": self.metadata if metadata else None,
        }
        there = {name: value for name, value in optional.items() if value}
        return {"type": "message", "ts": self.ts, "user": self.user, "text": self.text, **there, **edited}

    def _unfurled(self) -> Iterator[Json]:
        for address, unfurl in self.unfurls.items():
            yield {"from_url": address, "is_app_unfurl": True, **unfurl}

    def size(self) -> int:
        """Bytes that it takes, roughly."""
        return 500 + len(json.dumps([self.text, self.blocks, self.attachments, self.metadata, self.unfurls]))


@dataclass
class Conversation:
    """A channel or a direct conversation with the app."""

    id: str
    name: str
    kind: Kind
    members: set[str]
    created: int
    archived: bool = False
    shared: bool = False
    topic: str = ""
    messages: OrderedDict[str, Message] = field(default_factory=OrderedDict)
    ephemerals: OrderedDict[str, Message] = field(default_factory=OrderedDict)

    def replies(self, ts: str) -> list[Message]:
        """The replies to a message, oldest first, without the message."""
        return [each for each in self.messages.values() if each.thread_ts == ts and each.ts != ts]

    def find(self, ts: str) -> Message | None:
        return self.messages.get(ts) or self.ephemerals.get(ts)

    def as_json(self, member: str) -> Json:
        """What the Web API says of it to `member`, who may be none."""
        common = {"id": self.id, "created": self.created, "is_archived": self.archived}
        if self.kind == "im":
            other = next(iter(self.members - {member}), member)
            return {**common, "is_im": True, "user": other, "is_org_shared": False}
        return {
            **common,
            "name": self.name,
            "name_normalized": self.name,
            "is_channel": True,
            "is_group": False,
            "is_im": False,
            "is_mpim": False,
            "is_private": self.kind == "private",
            "is_general": False,
            "is_member": member in self.members,
            "is_shared": self.shared,
            "is_ext_shared": self.shared,
            "is_org_shared": False,
            "num_members": len(self.members),
            "topic": {"value": self.topic, "creator": "", "last_set": 0},
            "purpose": {"value": "", "creator": "", "last_set": 0},
        }


class Shelf:
    """Holds all messages of all conversations within one budget: the oldest go first."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._sizes: OrderedDict[tuple[str, str], tuple[int, Conversation]] = OrderedDict()
        self._total = 0

    def put(self, conversation: Conversation, message: Message) -> None:
        """Keep a message that is new or was changed."""
        where = conversation.ephemerals if message.only_for else conversation.messages
        where[message.ts] = message
        key = (conversation.id, message.ts)
        size = message.size()
        before, _ = self._sizes.get(key, (0, conversation))
        self._sizes[key] = size, conversation
        self._total += size - before
        while len(self._sizes) > self._most or (self._total > self._most_bytes and len(self._sizes) > 1):
            (_, ts), (_, holder) = next(iter(self._sizes.items()))
            self.drop(holder, ts)

    def drop(self, conversation: Conversation, ts: str) -> None:
        size, _ = self._sizes.pop((conversation.id, ts), (0, conversation))
        self._total -= size
        conversation.messages.pop(ts, None)
        conversation.ephemerals.pop(ts, None)
