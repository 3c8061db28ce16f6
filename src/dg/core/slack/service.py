"""What can be said about channels, and by whom. Errors are those of `dg.core.errors`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import product

from dg.core.access.models import SYSTEM, Action, Principal
from dg.core.access.service import Access
from dg.core.clock import SECOND, Clock, Ids
from dg.core.database import Database, Tx
from dg.core.errors import Invalid, NotFound
from dg.core.events import SlackChannelMuted, SlackChannelUnmuted
from dg.core.idempotency import Once, once
from dg.core.slack import store
from dg.core.slack.models import MuteChannel, SlackMute
from dg.core.slack.routing import Routes

_LONGEST = 7 * 86400
"""Seconds of the longest mute: what is not wanted for good belongs into the routes."""
_KEPT = 30 * 86400 * SECOND
"""Microseconds for which is known when a channel was muted: what came meanwhile may be told late."""


class Channels:
    """The actions on channels. `again` lets go of what waits for one."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        ids: Ids,
        access: Access,
        routes: Routes,
        again: Callable[[str], Awaitable[None]],
    ) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._access = access
        self._routes = routes
        self._again = again

    async def mutes(self, principal: Principal) -> tuple[SlackMute, ...]:
        """The channels that are muted now."""
        self._access.require_somewhere(principal, Action.CHANNEL_READ)
        now = self._clock.micros()
        return tuple(each for each in await self._db.read(store.unended) if each.until > now)

    async def mute(self, principal: Principal, request: MuteChannel, wish: Once | None = None) -> SlackMute:
        """Tell a channel only what cannot wait; one that is muted gets the new end. Raises Invalid."""
        await self._require(principal, request.channel)
        now = self._clock.micros()
        if not now < request.until <= now + _LONGEST * SECOND:
            raise Invalid("until: a mute ends, within seven days", field="until")

        def effect(tx: Tx) -> SlackMute:
            known = _standing(tx, request.channel, now)
            fresh = {"until": request.until, "reason": request.reason, "by": principal.id}
            if known is None:
                made = SlackMute(id=self._ids.new(), channel=request.channel, since=now, **fresh)
                store.insert(tx, made)
            else:
                made = known.model_copy(update=fresh)
                store.change(tx, made, ended=False)
            about = {"channel": made.channel, "mute": made.id}
            tx.append(SlackChannelMuted(**about, until=made.until, reason=made.reason), principal)
            return made

        made = await self._db.write(lambda tx: once(tx, principal, wish, SlackMute, self._clock, effect))
        await self._again(made.channel)
        return made

    async def unmute(self, principal: Principal, channel: str) -> SlackMute:
        """Tell a channel everything again. Raises NotFound for one that is not muted."""
        await self._require(principal, channel)

        def work(tx: Tx) -> SlackMute:
            now = self._clock.micros()
            if (known := _standing(tx, channel, now)) is None:
                raise NotFound(f"the channel {channel} is not muted")
            over = known.model_copy(update={"until": now})
            store.change(tx, over, ended=True)
            tx.append(SlackChannelUnmuted(channel=channel, mute=over.id), principal)
            return over

        over = await self._db.write(work)
        await self._again(channel)
        return over

    async def end_mutes(self) -> None:
        """Say of mutes whose time is over that they are."""

        def work(tx: Tx) -> None:
            now = self._clock.micros()
            for each in store.unended(tx):
                if each.until <= now:
                    _over(tx, each)
            store.prune(tx, now - _KEPT)

        await self._db.write(work)

    async def _require(self, principal: Principal, channel: str) -> None:
        """Raise Forbidden unless they may for everything of which the channel hears."""
        asked = [each for each in await self._db.read(store.subscriptions) if each.ended_at is None]
        heard = [place.route for place in self._routes.all if place.channel == channel]
        reach = [
            pair
            for route in heard
            for pair in product(route.environments or (None,), route.services or (None,))
        ]
        own = [(each.environment, each.service) for each in asked if each.channel == channel]
        for environment, service in [*reach, *own] or [(None, None)]:
            self._access.require(principal, Action.CHANNEL_MUTE, environment, service)


def _standing(tx: Tx, channel: str, now: int) -> SlackMute | None:
    """The mute that is on. One whose time is over is said to be."""
    for each in store.unended(tx):
        if each.channel == channel:
            if each.until > now:
                return each
            _over(tx, each)
    return None


def _over(tx: Tx, mute: SlackMute) -> None:
    store.change(tx, mute, ended=True)
    tx.append(SlackChannelUnmuted(channel=mute.channel, mute=mute.id, automatic=True), SYSTEM)
