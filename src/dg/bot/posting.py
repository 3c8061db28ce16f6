"""Brings messages to Slack: posts each once, edits it from then on, and keeps to what Slack allows."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from dg.bot.budget import Budget
from dg.bot.client import SlackApi, SlackProblem
from dg.bot.drawing import Drawing
from dg.bot.messages.blocks import Rendered
from dg.core.clock import SECOND, Clock
from dg.core.outbox.models import Failed, Later, Message, Outcome, Sent
from dg.core.slack.folding import episode, recalled
from dg.core.slack.messenger import ChannelGone, Messenger

log = logging.getLogger(__name__)

EVENT = "dg_message"
LOST_CHANNEL = {
    "channel_not_found": "there is no such channel, or it is private and dg was not invited",
    "not_in_channel": "dg is not in it: type /invite @dg there",
    "is_archived": "it is archived",
    "restricted_action": "only some people may post there",
    "restricted_action_read_only_channel": "only some people may post there",
}
LOST_TOKEN = frozenset(
    {
        "account_inactive",
        "invalid_auth",
        "missing_scope",
        "not_authed",
        "org_login_required",
        "team_access_not_granted",
        "token_expired",
        "token_revoked",
    }
)
_TOO_MUCH = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"})
_NOT_THERE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found"})

_RESERVE = 6
"""Edits that only what is urgent may use."""
_PROGRESS = 5
_LOOK_BACK = 5
_PARENT = 2.0
_WITHOUT_TOKEN = 60.0


class Posting:
    """The poster of the core's messenger. `trouble` is the word for what is wrong with the token.

    `doubt` is called when Slack refuses it.
    """

    def __init__(
        self,
        api: SlackApi,
        messenger: Messenger,
        drawing: Drawing,
        budget: Budget,
        clock: Clock,
        doubt: Callable[[], None] = lambda: None,
    ) -> None:
        self._api = api
        self._messenger = messenger
        self._drawing = drawing
        self._budget = budget
        self._clock = clock
        self._doubt = doubt
        self.trouble: str | None = None
        self.counted = dict.fromkeys(("posts", "edits", "same", "limited", "adopted", "refused"), 0)

    async def post(self, message: Message) -> Outcome:
        """Show how things are now."""
        memory = recalled(message)
        shown = await self._drawing.draw(message.payload, new="ts" not in memory)
        if shown is None:
            return Sent(memory=memory)
        try:
            if "ts" not in memory and "began" in memory:
                memory |= await self._adopt(message, memory["began"])
            if "ts" in memory:
                return await self._edit(message, shown, memory)
            return await self._first(message, shown)
        except SlackProblem as problem:
            return self._failure(message, problem, memory)

    def trust(self) -> None:
        """Slack takes the token; what it lacks shows with the next message."""
        if self.trouble != "missing_scope":
            self.trouble = None

    # --- the first time

    async def _first(self, message: Message, shown: Rendered) -> Outcome:
        channel = str(message.payload["channel"])
        place: dict[str, Any] = {"channel": channel}
        if parent := message.payload.get("parent"):
            if (thread := (await self._messenger.memory(parent)).get("ts")) is None:
                return Later(_PARENT)
            place["thread_ts"] = thread
        if wait := self._budget.posts(channel).take():
            return Later(wait)
        began = {"began": self._clock.micros() // SECOND, **episode(message)}
        await self._messenger.begin(message, began)
        marks = {"event_type": EVENT, "event_payload": {"id": message.id}}
        quiet = {"unfurl_links": False, "unfurl_media": False}
        try:
            answer = await self._say("chat.postMessage", shown, **place, **quiet, metadata=marks)
        except SlackProblem as problem:
            if problem.ambiguous:
                return self._failure(message, problem, began)
            await self._messenger.begin(message, {})
            if problem.retry_after is not None:
                return self._limited(self._budget.posts(channel).close, problem.retry_after)
            return self._failure(message, problem, {})
        self.counted["posts"] += 1
        return Sent(memory={"ts": answer["ts"], "digest": _digest(shown), **episode(message)})

    async def _adopt(self, message: Message, began: int) -> Mapping[str, str]:
        """The message that an earlier try may have left behind, found by its mark; empty for none."""
        found = await self._api.call(
            "conversations.history",
            channel=message.payload["channel"],
            oldest=str(began - _LOOK_BACK),
            limit=200,
            include_all_metadata=True,
        )
        for each in found.get("messages", ()):
            marks = each.get("metadata") or {}
            if marks.get("event_type") == EVENT and marks.get("event_payload", {}).get("id") == message.id:
                self.counted["adopted"] += 1
                return {"ts": str(each["ts"])}
        return {}

    # --- from then on

    async def _edit(self, message: Message, shown: Rendered, memory: dict[str, Any]) -> Outcome:
        memory.pop("began", None)
        digest = _digest(shown)
        if memory.get("digest") == digest:
            self.counted["same"] += 1
            return Sent(memory=memory)
        if wait := self._budget.edits.take(_RESERVE if message.priority >= _PROGRESS else 0):
            # What was adopted must not be looked for again.
            await self._messenger.begin(message, memory)
            return Later(wait)
        try:
            await self._say("chat.update", shown, channel=message.payload["channel"], ts=memory["ts"])
        except SlackProblem as problem:
            if problem.retry_after is not None:
                await self._messenger.begin(message, memory)
                return self._limited(self._budget.edits.close, problem.retry_after)
            if problem.code in _NOT_THERE:
                await self._messenger.begin(message, {})
                return Later(0.0)
            return self._failure(message, problem, memory)
        self.counted["edits"] += 1
        return Sent(memory={**memory, "digest": digest})

    # --- shared

    async def _say(self, method: str, shown: Rendered, **arguments: Any) -> dict[str, Any]:
        """Send it; where Slack refuses its blocks, the plain line alone rather than nothing."""
        try:
            answer = await self._api.call(method, **shown.body(), **arguments)
        except SlackProblem as problem:
            if problem.code not in _TOO_MUCH:
                raise
            self.counted["refused"] += 1
            log.error("Slack refuses the blocks of a message (%s): only its text is shown", problem.code)
            answer = await self._api.call(method, text=shown.text[:1000], blocks=[], **arguments)
        self.trouble = None
        return answer

    def _limited(self, close: Any, seconds: float) -> Later:
        self.counted["limited"] += 1
        close(seconds)
        return Later(seconds)

    def _failure(self, message: Message, problem: SlackProblem, memory: Mapping[str, Any]) -> Outcome:
        channel, code = message.payload["channel"], problem.code
        if code in LOST_CHANNEL:
            return ChannelGone(f"the channel {channel}: {LOST_CHANNEL[code]} ({code})", memory=memory)
        if code in LOST_TOKEN:
            self.trouble = code
            self._doubt()
            why = f"Slack does not take the bot's token any more: {code}"
            return Failed(why, retry_after=_WITHOUT_TOKEN, memory=memory)
        if problem.ambiguous or problem.retry_after is not None:
            pause = problem.retry_after
            return Failed(f"Slack did not answer: {code}", retry_after=pause, memory=memory)
        return Failed(f"Slack refused the message: {code}", final=True, at_fault="message", memory=memory)


def _digest(shown: Rendered) -> str:
    return hashlib.sha256(json.dumps(shown.body(), sort_keys=True).encode()).hexdigest()[:16]
