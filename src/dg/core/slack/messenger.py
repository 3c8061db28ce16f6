"""Between the outbox and the bot: who sends, what was begun, which channel is lost, and what is behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dg.core.access.models import SYSTEM
from dg.core.clock import SECOND, Clock, Ids
from dg.core.database import Database, Tx
from dg.core.errors import Refused
from dg.core.events import SlackChannelLost, SlackTokenAccepted, SlackTokenRefused
from dg.core.outbox import Failed, Later, Message, Outcome, Policy, Sent
from dg.core.outbox import store as outbox
from dg.core.outbox.service import hold, release
from dg.core.slack import folding, store
from dg.core.slack.folding import DETAILS, FOLDABLE, Gap, recalled
from dg.core.slack.fuse import Fuse
from dg.core.slack.models import SlackMute
from dg.core.slack.quiet import QuietHours
from dg.core.slack.routing import KIND, destination

_OUTAGE = 300.0
"""Seconds without Slack after which what ended meanwhile is told in one message."""
_TRY = 60
"""Seconds that one try to post may take."""
_NOBODY = 1.0
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

    async def examine(self, channel: str) -> None:
        """Raise Invalid unless dg may speak in that channel, and only the own workspace reads it.

        Raises Unavailable where Slack does not say.
        """
        ...

    def figures(self) -> Mapping[str, Any]:
        """For the diagnostics."""
        ...

    def state(self) -> str:
        """For the health: `ok`, or what is wrong in a few words."""
        ...


@dataclass
class _Outage:
    """When Slack took nothing for one channel, in microseconds; still so while it is `open`."""

    since: int
    until: int
    open: bool = True

    def gap(self, moment: int, now: int) -> Gap | None:
        """Itself, if it was long and something of `moment` came in it."""
        until = now if self.open else self.until
        covers = self.since <= moment <= until and until - self.since >= _OUTAGE * SECOND
        return Gap("away", self.since, until) if covers else None


class Messenger:
    """The outbox's sender for Slack. Without a poster everything waits."""

    policy = Policy(attempts=1 << 30, first=1.0, longest=30.0)

    def __init__(self, db: Database, clock: Clock, ids: Ids, quiet: QuietHours, fuse: Fuse) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._quiet = quiet
        self._fuse = fuse
        self.wake: Callable[[], None] = lambda: None
        """Tells the outbox that something may be due; set once there is one."""
        self._poster: Poster | None = None
        self._outages: dict[str, _Outage] = {}

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
                    self._try_again(tx, troubled["destination"])

        await self._db.write(work)
        self.wake()

    async def note_token(self, token: str, reason: str | None) -> None:
        """Slack refuses a token (`bot`, `app`) for this `reason`, or takes it again."""
        fact = SlackTokenRefused(token=token, reason=reason) if reason else SlackTokenAccepted(token=token)
        await self._db.write(lambda tx: tx.append(fact, SYSTEM))

    def detach(self) -> None:
        """Let everything wait from now on."""
        self._poster = None

    async def look_again(self, channel: str) -> None:
        """What waits for a channel may not have to any more."""
        await self._db.write(lambda tx: outbox.hasten(tx, destination(channel), self._clock.micros()))
        self.wake()

    async def reopen(self, channel: str) -> None:
        """Something changed about a channel: try it again."""

        await self._db.write(lambda tx: self._try_again(tx, destination(channel)))
        self.wake()

    def _try_again(self, tx: Tx, where: str) -> None:
        release(tx, where)
        outbox.hasten(tx, where, self._clock.micros())

    async def examine(self, channel: str) -> None:
        """Raise Problem unless a channel may be told more; Refused where there is nobody to ask."""
        if self._poster is None:
            raise Refused(
                "Slack is not set up here, so nothing can be told there: see dg slack setup",
                reason="slack_off",
            )
        await self._poster.examine(channel)

    async def begin(self, message: Message, memory: Mapping[str, Any]) -> None:
        """Keep that a message is about to be posted, before it is: who dies then can look whether it was."""
        await self._db.write(lambda tx: outbox.remember(tx, message.id, memory))

    async def memory(self, key: str) -> Mapping[str, Any]:
        """What the sending of another message learnt; empty for none."""
        found = await self._db.read(lambda tx: outbox.find(tx, KIND, key))
        return found.memory if found else {}

    # --- the outbox's side

    async def send(self, message: Message) -> Outcome:
        """Have it posted, unless it can wait and it is quiet, or it comes together with others."""
        if self._poster is None:
            return Later(_NOBODY)
        if "ts" not in recalled(message) and (aside := await self._aside(message)) is not None:
            return aside
        outcome = await self._poster.post(message)
        if isinstance(outcome, Sent) and (outage := self._outages.get(message.destination)) and outage.open:
            outage.until, outage.open = self._clock.micros(), False
        return outcome

    def failed(self, tx: Tx, message: Message, failure: Failed, failures: int, now: int) -> None:
        """Note since when Slack does not answer, and hold a channel that is lost."""
        since = outbox.destination_of(tx, message.destination).failing_since or now
        if "ts" not in recalled(message):
            # Its first try may have taken a while, and what it tells of came before.
            since = max(min(since, folding.born(message)), since - _TRY * SECOND)
        known = self._outages.get(message.destination)
        if known and known.open:
            since = min(since, known.since)
        self._outages[message.destination] = _Outage(since, now)
        if isinstance(failure, ChannelGone):
            hold(tx, message.destination)
            channel = str(message.payload["channel"])
            tx.append(SlackChannelLost(channel=channel, reason=failure.error), SYSTEM)

    async def _aside(self, message: Message) -> Outcome | None:
        """What becomes of a message that is not there yet; None for one that stands alone."""
        about, learnt, now = message.payload, recalled(message), self._clock.micros()
        urgent = about.get("urgent")
        if about["what"] in DETAILS and (summary := (await self.memory(about["parent"])).get("folded")):
            return Sent(memory={"folded": summary})
        if "folded" in learnt:
            if not urgent and await self._is_redrawn(message, learnt["folded"]):
                return Sent(memory=learnt)
            await self.begin(message, {})
        if not urgent and (end := await self.quiet_until(str(about["channel"]), now)) is not None:
            return Later(min(_LONGEST_QUIET, (end - now) / SECOND))
        gap = await self._gap(message, now) if about["what"] in FOLDABLE else None
        return await self._folded(message, gap) if gap else None

    async def _is_redrawn(self, message: Message, key: str) -> bool:
        return await self._db.write(lambda tx: folding.redraw(tx, self._clock, self._ids, message, key))

    async def _folded(self, message: Message, gap: Gap) -> Sent | None:
        def work(tx: Tx) -> Sent | None:
            if not folding.folds(tx, message, gap):
                return None
            return Sent(memory=folding.gather(tx, self._clock, self._ids, message, gap))

        return await self._db.write(work)

    async def _gap(self, message: Message, now: int) -> Gap | None:
        """The mute, the quiet, the outage or the storm that it came in."""
        moment, urgent = folding.born(message), bool(message.payload.get("urgent"))
        mute = None if urgent else await self._mute(str(message.payload["channel"]), moment)
        if mute is not None:
            return Gap("mute", mute.since, mute.until)
        if not urgent and (end := self._quiet.end(moment)) is not None:
            return Gap("quiet", end, end)
        outage = self._outages.get(message.destination)
        if outage and (gap := outage.gap(moment, now)):
            return gap
        storm = self._fuse.blown(str(message.payload["channel"]), message.id)
        return None if storm is None or urgent else Gap("storm", storm, now)

    async def quiet_until(self, channel: str, moment: int) -> int | None:
        """When the quiet or the mute that is there at `moment` ends (microseconds); None for neither."""
        mute, end = await self._mute(channel, moment), self._quiet.end(moment)
        ends = [each for each in (mute.until if mute else None, end) if each is not None]
        return max(ends, default=None)

    async def _mute(self, channel: str, moment: int) -> SlackMute | None:
        """The mute of a channel that was on at a moment, the latest of several."""
        found = await self._db.read(lambda tx: store.of(tx, channel))
        return next((each for each in reversed(found) if each.since <= moment < each.until), None)

    # --- how it goes

    def figures(self) -> dict[str, Any]:
        """For the diagnostics: nothing where there is no bot."""
        return dict(self._poster.figures()) if self._poster else {}

    def state(self) -> str:
        """For the health."""
        return self._poster.state() if self._poster else "ok"
