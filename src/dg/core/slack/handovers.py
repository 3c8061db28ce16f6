"""Wants a handover in Slack: somebody's summary of a shift, as text, in a channel that the settings name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from dg.core.access.models import Action, Principal
from dg.core.access.service import Access
from dg.core.clock import Clock, Ids
from dg.core.database import Database, Tx
from dg.core.errors import Invalid, Refused
from dg.core.events import HandoverPosted
from dg.core.idempotency import Once, once
from dg.core.outbox import store as outbox
from dg.core.slack.announcing import CHANGE
from dg.core.slack.models import PostedHandover, PostHandover
from dg.core.slack.routing import KIND, Place, Routes
from dg.core.text import plain


class Handovers:
    """The one action on handovers. `wake` tells the outbox that something is due."""

    def __init__(
        self, db: Database, clock: Clock, ids: Ids, access: Access, routes: Routes, wake: Callable[[], None]
    ) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._access = access
        self._routes = routes
        self._wake = wake

    async def post(
        self, principal: Principal, request: PostHandover, wish: Once | None = None
    ) -> PostedHandover:
        """Have it posted in the caller's name, at any hour.

        Raises Refused where Slack is not set up, Invalid for a channel that the settings do not name.
        """
        self._access.require(principal, Action.HANDOVER_POST)
        place = self._place(request.channel)
        now = self._clock.micros()

        def effect(tx: Tx) -> PostedHandover:
            posted = PostedHandover(id=self._ids.new(), channel=place.channel, at=now)
            outbox.put(
                tx,
                id=posted.id,
                kind=KIND,
                key=f"{place.channel}:handover:{posted.id}",
                destination=place.destination,
                payload={
                    "what": "handover",
                    "channel": place.channel,
                    "text": request.text,
                    "by": principal.id,
                    "urgent": True,
                },
                now=now,
                priority=CHANGE,
            )
            digest = hashlib.sha256(request.text.encode()).hexdigest()
            tx.append(HandoverPosted(handover=posted.id, channel=place.channel, sha256=digest), by=principal)
            return posted

        posted = await self._db.write(
            lambda tx: once(tx, principal, wish, PostedHandover, self._clock, effect)
        )
        self._wake()
        return posted

    def _place(self, channel: str | None) -> Place:
        known = {each.channel: each for each in self._routes.channels}
        if not known:
            raise Refused(
                "Slack is not set up here, so nothing can be posted there: see dg slack setup",
                reason="slack_off",
            )
        if channel is None:
            return next(iter(known.values()))
        if channel not in known:
            raise Invalid(
                f"channel: {plain(channel, limit=40)} is in no route of the settings; "
                f"there are {', '.join(known)}",
                field="channel",
            )
        return known[channel]
