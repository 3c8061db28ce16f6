"""Between the outbox and the bot: who sends, what was begun, which channel is lost, and what is behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from dg.core.access.models import SYSTEM
from dg.core.clock import SECOND, Clock, Ids
from dg.core.database import Database, Tx
from dg.core.deployments import store as deployments
from dg.core.deployments.models import FINAL
from dg.core.events import SlackChannelLost, SlackTokenAccepted, SlackTokenRefused
from dg.core.outbox import Failed, Later, Message, Outcome, Policy, Sent
from dg.core.outbox import store as outbox
from dg.core.outbox.service import hold, release
from dg.core.slack.announcing import CHANGE
from dg.core.slack.quiet import QuietHours
from dg.core.slack.routing import KIND, destination

_OUTAGE = 300.0
"""Seconds without Slack after which what ended meanwhile is told in one message."""
_NOBODY = 30.0
_LONGEST_QUIET = 3600.0
"""Seconds after which a message that waits for the quiet to end is looked at again."""


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
class _Gap:
    """When one channel was told nothing, in microseconds: Slack was away, or it was quiet until `until`."""

    since: int
    until: int
    why: Literal["away", "quiet"] = "away"

    def covers(self, moment: int) -> bool:
        return self.since <= moment <= self.until and self.until - self.since >= _OUTAGE * SECOND


class Messenger:
    """The outbox's sender for Slack. Without a poster everything waits."""

    policy = Policy(attempts=1 << 30, first=1.0, longest=30.0)

    def __init__(self, db: Database, clock: Clock, ids: Ids, quiet: QuietHours) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._quiet = quiet
        self.wake: Callable[[], None] = lambda: None
        """Tells the outbox that something may be due; set once there is one."""
        self._poster: Poster | None = None
        self._outages: dict[str, _Gap] = {}

    # --- the bot's side

    async def attach(self, poster: Poster) -> None:
        """Send by `poster` from now on; channels that were lost are tried again."""
        self._poster = poster
        await self.resume()

    async def resume(self) -> None:
        """Try every channel again now, and those that were lost: what was in the way may be gone."""

        def work(tx: Tx) -> None:
            for troubled in outbox.figures(tx)["troubled"]:
                if str(troubled["destination"]).startswith(f"{KIND}:"):
                    release(tx, troubled["destination"])

        await self._db.write(work)
        self.wake()

    async def note_token(self, token: str, reason: str | None) -> None:
        """Slack refuses a token (`bot`, `app`) for this `reason`, or takes it again."""
        fact = SlackTokenRefused(token=token, reason=reason) if reason else SlackTokenAccepted(token=token)
        await self._db.write(lambda tx: tx.append(fact, SYSTEM))

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
        """Have it posted, unless it is quiet, or it only adds to the flood after an outage or a night."""
        if self._poster is None:
            return Later(_NOBODY)
        now = self._clock.micros()
        if _may_wait(message) and (end := self._quiet.end(now)) is not None:
            return Later(min(_LONGEST_QUIET, (end - now) / SECOND))
        if await self._is_folded(message):
            return Sent(memory={"folded": True})
        return await self._poster.post(message)

    def failed(self, tx: Tx, message: Message, failure: Failed, failures: int, now: int) -> None:
        """Note since when Slack does not answer, and hold a channel that is lost."""
        before = outbox.destination_of(tx, message.destination)
        self._outages[message.destination] = _Gap(before.failing_since or now, now)
        if isinstance(failure, ChannelGone):
            hold(tx, message.destination)
            channel = str(message.payload["channel"])
            tx.append(SlackChannelLost(channel=channel, reason=failure.error), SYSTEM)

    async def _is_folded(self, message: Message) -> bool:
        """Whether it is of a deployment that came and went while Slack was away: then the summary tells."""
        gap = None if message.memory.get("ts") else self._gap(message)
        if gap is None:
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
            key = f"{channel}:summary:{gap.since}"
            summary = outbox.find(tx, KIND, key)
            told = [*(summary.payload["deployments"] if summary else ()), found.id]
            about = {"what": "summary", "channel": channel, **asdict(gap)}
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

    def _gap(self, message: Message) -> _Gap | None:
        """The outage, or the quiet, that it was made in."""
        outage = self._outages.get(message.destination)
        if outage and outage.covers(message.created_at):
            return outage
        end = self._quiet.end(message.created_at) if _may_wait(message) else None
        return _Gap(end, end, "quiet") if end is not None else None

    # --- how it goes

    def figures(self) -> dict[str, Any]:
        """For the diagnostics: nothing where there is no bot."""
        return dict(self._poster.figures()) if self._poster else {}

    def state(self) -> str:
        """For the health."""
        return self._poster.state() if self._poster else "ok"


def _may_wait(message: Message) -> bool:
    """Whether it is not posted in quiet hours. An edit calls nobody, so it is made at any hour."""
    return not message.payload.get("urgent") and "ts" not in message.memory
