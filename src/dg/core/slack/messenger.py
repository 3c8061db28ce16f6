"""Between the outbox and the bot: who sends, what was begun, which channel is lost, and what is behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dg.core.access.models import SYSTEM
from dg.core.clock import SECOND, Clock, Ids
from dg.core.database import Database, Tx
from dg.core.deployments import store as deployments
from dg.core.deployments.models import FINAL
from dg.core.events import SlackChannelLost
from dg.core.outbox import Failed, Later, Message, Outcome, Policy, Sent
from dg.core.outbox import store as outbox
from dg.core.outbox.service import hold, release
from dg.core.slack.announcing import CHANGE
from dg.core.slack.routing import KIND, destination

_OUTAGE = 300.0
"""Seconds without Slack after which what ended meanwhile is told in one message."""
_NOBODY = 30.0


@dataclass(frozen=True)
class ChannelGone(Failed):
    """Nothing can be said in that channel until somebody mends it."""


class Poster(Protocol):
    """Whoever speaks to Slack."""

    async def post(self, message: Message) -> Outcome:
        """Show how things are now: as a new message, or in the one that is there."""
        ...

    def figures(self) -> Mapping[str, Any]:
        """For the diagnostics."""
        ...

    def state(self) -> str:
        """For the health: `ok`, or what is wrong in a few words."""
        ...


@dataclass(frozen=True)
class _Outage:
    """Slack did not take what was for one channel: from `since` until `until`, in microseconds."""

    since: int
    until: int

    def covers(self, moment: int) -> bool:
        return self.since <= moment <= self.until and self.until - self.since >= _OUTAGE * SECOND


class Messenger:
    """The outbox's sender for Slack. Without a poster everything waits."""

    policy = Policy(attempts=1 << 30, first=1.0, longest=30.0)

    def __init__(self, db: Database, clock: Clock, ids: Ids) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self.wake: Callable[[], None] = lambda: None
        """Tells the outbox that something may be due; set once there is one."""
        self._poster: Poster | None = None
        self._outages: dict[str, _Outage] = {}

    # --- the bot's side

    async def attach(self, poster: Poster) -> None:
        """Send by `poster` from now on; channels that were lost are tried again."""
        self._poster = poster

        def work(tx: Tx) -> None:
            for troubled in outbox.figures(tx)["troubled"]:
                if troubled["held"] and str(troubled["destination"]).startswith(f"{KIND}:"):
                    release(tx, troubled["destination"])

        await self._db.write(work)
        self.wake()

    def detach(self) -> None:
        """Let everything wait from now on."""
        self._poster = None

    async def reopen(self, channel: str) -> None:
        """Something changed about a channel: try it again."""
        await self._db.write(lambda tx: release(tx, destination(channel)))
        self.wake()

    async def begin(self, message: Message, memory: Mapping[str, Any]) -> None:
        """Keep that a message is about to be posted, before it is: who dies then can look whether it was."""
        await self._db.write(lambda tx: outbox.remember(tx, message.id, memory))

    async def memory(self, key: str) -> Mapping[str, Any]:
        """What the sending of another message learnt; empty for none."""
        found = await self._db.read(lambda tx: outbox.find(tx, KIND, key))
        return found.memory if found else {}

    # --- the outbox's side

    async def send(self, message: Message) -> Outcome:
        """Have it posted, unless it only adds to the flood after an outage."""
        if self._poster is None:
            return Later(_NOBODY)
        if await self._is_folded(message):
            return Sent(memory={"folded": True})
        return await self._poster.post(message)

    def failed(self, tx: Tx, message: Message, failure: Failed, failures: int, now: int) -> None:
        """Note since when Slack does not answer, and hold a channel that is lost."""
        before = outbox.destination_of(tx, message.destination)
        self._outages[message.destination] = _Outage(before.failing_since or now, now)
        if isinstance(failure, ChannelGone):
            hold(tx, message.destination)
            channel = str(message.payload["channel"])
            tx.append(SlackChannelLost(channel=channel, reason=failure.error), SYSTEM)

    async def _is_folded(self, message: Message) -> bool:
        """Whether it is of a deployment that came and went while Slack was away: then the summary tells."""
        outage = self._outages.get(message.destination)
        if not outage or not outage.covers(message.created_at) or message.memory.get("ts"):
            return False
        if message.payload["what"] in ("log", "changes"):
            return bool((await self.memory(message.payload["parent"])).get("folded"))
        if message.payload["what"] != "deployment":
            return False
        channel, deployment_id = message.payload["channel"], message.payload["deployment"]

        def work(tx: Tx) -> bool:
            found = deployments.find(tx, deployment_id)
            if found is None or found.status not in FINAL:
                return False
            key = f"{channel}:summary:{outage.since}"
            summary = outbox.find(tx, KIND, key)
            told = [*(summary.payload["deployments"] if summary else ()), found.id]
            about = {"what": "summary", "channel": channel, "since": outage.since, "until": outage.until}
            outbox.put(
                tx,
                id=self._ids.new(),
                kind=KIND,
                key=key,
                destination=message.destination,
                payload={**about, "deployments": list(dict.fromkeys(told))},
                now=self._clock.micros(),
                priority=CHANGE,
            )
            return True

        return await self._db.write(work)

    # --- how it goes

    def figures(self) -> dict[str, Any]:
        """For the diagnostics: nothing where there is no bot."""
        return dict(self._poster.figures()) if self._poster else {}

    def state(self) -> str:
        """For the health."""
        return self._poster.state() if self._poster else "ok"
