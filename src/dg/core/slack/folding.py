"""What is not told one by one: which messages come together in one, and that one.

A summary holds no more than what to look at, as every message does: its lines show how things are by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dg.core.clock import Clock, Ids
from dg.core.database import Tx
from dg.core.deployments import store as deployments
from dg.core.deployments.models import FINAL
from dg.core.outbox import Message
from dg.core.outbox import store as outbox
from dg.core.slack.announcing import CHANGE
from dg.core.slack.routing import KIND

DETAILS = frozenset({"log", "changes"})
"""What stands in the thread of another message."""
FOLDABLE = frozenset({"deployment", "lane", "freeze", "health"})

_MOST = 100
"""Things that a summary can name; more are counted."""
_SPACING = 5.0
"""Seconds between two edits of a summary."""

Why = Literal["away", "quiet", "storm", "mute"]


@dataclass(frozen=True)
class Gap:
    """A time (microseconds) in which a channel was not told one thing after the other, and why."""

    why: Why
    since: int
    until: int


def recalled(message: Message) -> dict[str, Any]:
    """What earlier sendings learnt, but for those of an episode that is over: the next is told anew."""
    same = message.memory.get("episode") == message.payload.get("episode")
    return dict(message.memory) if same else {}


def episode(message: Message) -> dict[str, Any]:
    """What must be remembered with anything else about a message that has episodes."""
    return {name: message.payload[name] for name in ("episode",) if name in message.payload}


def born(message: Message) -> int:
    """When that of which it tells became worth telling."""
    return int(message.payload["since"]) if message.payload["what"] == "health" else message.created_at


def folds(tx: Tx, message: Message, gap: Gap) -> bool:
    """Whether it may be a line among others: nobody has to act on it, or it is over."""
    about = message.payload
    if about["what"] != "deployment":
        return not about.get("urgent")
    found = deployments.find(tx, about["deployment"])
    if found is None:
        return False
    if gap.why == "storm":
        return True
    closed = deployments.lock_of(deployments.lane(tx, found.service, found.environment.value)) is not None
    return found.status in FINAL and not (about.get("urgent") and closed)


def gather(tx: Tx, clock: Clock, ids: Ids, message: Message, gap: Gap) -> dict[str, Any]:
    """Make it a line of the summary of `gap`; what to remember of that."""
    key = f"{message.payload['channel']}:summary:{gap.why}:{gap.since}"
    known = outbox.find(tx, KIND, key)
    before = known.payload if known else {"items": {}, "more": 0}
    about = {**_with(before, message), "why": gap.why, "since": gap.since, "until": gap.until}
    _put(tx, clock, ids, message, key, about)
    return {"folded": key, **episode(message)}


def redraw(tx: Tx, clock: Clock, ids: Ids, message: Message, key: str) -> bool:
    """Show in the summary of `key` how that is now of which `message` tells; False where it is gone."""
    known = outbox.find(tx, KIND, key)
    if known is None:
        return False
    _put(tx, clock, ids, message, key, _with(known.payload, message))
    return True


def _with(before: Mapping[str, Any], message: Message) -> dict[str, Any]:
    items, more = dict(before["items"]), before["more"]
    if message.key in items or len(items) < _MOST:
        items[message.key] = dict(message.payload)
    elif "folded" not in recalled(message):
        more += 1
    return {**before, "items": items, "more": more}


def _put(tx: Tx, clock: Clock, ids: Ids, message: Message, key: str, about: Mapping[str, Any]) -> None:
    outbox.put(
        tx,
        id=ids.new(),
        kind=KIND,
        key=key,
        destination=message.destination,
        payload={**about, "what": "summary", "channel": message.payload["channel"]},
        now=clock.micros(),
        priority=CHANGE,
        spacing=_SPACING,
    )
