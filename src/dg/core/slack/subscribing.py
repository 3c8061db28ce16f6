"""What channels ask to be told beside the settings' routes. Errors are those of `dg.core.errors`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from dg.core.access.models import Action, Principal
from dg.core.access.service import Access
from dg.core.clock import SECOND, Clock, Ids
from dg.core.database import Database, Tx
from dg.core.errors import NotFound, Refused
from dg.core.events import SlackChannelSubscribed, SlackChannelUnsubscribed
from dg.core.idempotency import Once, once
from dg.core.slack import store
from dg.core.slack.models import SlackSubscription, SubscribeChannel

_MOST = 200
"""Subscriptions at a time: each is looked at for whatever happens."""
_KEPT = 30 * 86400 * SECOND
"""Microseconds in which messages of a subscription that is over still show how things go on."""


class ChannelSubscriptions:
    """The actions on subscriptions. `examine` raises Problem for a channel that must not be told."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        ids: Ids,
        access: Access,
        examine: Callable[[str], Awaitable[None]],
    ) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._access = access
        self._examine = examine

    async def list(self, principal: Principal, channel: str | None = None) -> tuple[SlackSubscription, ...]:
        """Those that the caller may see, of one channel or of all, the oldest first."""
        self._access.require_somewhere(principal, Action.CHANNEL_READ)
        return tuple(
            each
            for each in await self._db.read(_standing)
            if channel in (None, each.channel)
            and principal.may(Action.CHANNEL_READ, each.environment, each.service)
        )

    async def subscribe(
        self, principal: Principal, request: SubscribeChannel, wish: Once | None = None
    ) -> SlackSubscription:
        """Tell a channel of these lanes, too; one that is told of them gets the new severity.

        Raises Invalid for a channel that dg is not in or that is shared with others, Refused without Slack.
        """
        where = request.environment, request.service
        self._access.require(principal, Action.CHANNEL_SUBSCRIBE, *where)
        await self._examine(request.channel)

        def effect(tx: Tx) -> SlackSubscription:
            now, standing = self._clock.micros(), _standing(tx)
            store.prune_subscriptions(tx, now - _KEPT)
            known = next((each for each in standing if each.asks(request.channel, *where)), None)
            if known is not None and known.severity == request.severity:
                return known
            if known is None and len(standing) >= _MOST:
                raise Refused(
                    f"channels have {_MOST} subscriptions, which is the most: end some first",
                    reason="too_many",
                )
            made = SlackSubscription(
                id=known.id if known else self._ids.new(),
                **request.model_dump(),
                since=now,
                by=principal.id,
            )
            if known is None:
                store.insert_subscription(tx, made)
            else:
                store.change_subscription(tx, made)
            tx.append(
                SlackChannelSubscribed(
                    channel=made.channel,
                    subscription=made.id,
                    environment=made.environment,
                    service=made.service,
                    severity=made.severity,
                ),
                principal,
            )
            return made

        return await self._db.write(
            lambda tx: once(tx, principal, wish, SlackSubscription, self._clock, effect)
        )

    async def unsubscribe(self, principal: Principal, subscription_id: str) -> SlackSubscription:
        """Tell a channel no more than its other subscriptions and the routes say. Raises NotFound."""
        return await self._end(principal, lambda each: each.id == subscription_id, None)

    async def unsubscribe_from(
        self,
        principal: Principal,
        channel: str,
        environment: str | None,
        service: str | None,
        wish: Once | None = None,
    ) -> SlackSubscription:
        """The same for the subscription of a channel to exactly these lanes. Raises NotFound."""
        return await self._end(principal, lambda each: each.asks(channel, environment, service), wish)

    async def _end(
        self, principal: Principal, is_meant: Callable[[SlackSubscription], bool], wish: Once | None
    ) -> SlackSubscription:
        meant = next(filter(is_meant, await self.list(principal)), None)
        if meant is not None:
            where = meant.environment, meant.service
            self._access.require(principal, Action.CHANNEL_SUBSCRIBE, *where)

        def effect(tx: Tx) -> SlackSubscription:
            known = next((each for each in _standing(tx) if meant and each.id == meant.id), None)
            if known is None:
                raise NotFound("there is no such subscription that you may see")
            over = known.model_copy(update={"ended_at": self._clock.micros()})
            store.change_subscription(tx, over)
            tx.append(
                SlackChannelUnsubscribed(
                    channel=over.channel,
                    subscription=over.id,
                    environment=over.environment,
                    service=over.service,
                ),
                principal,
            )
            return over

        return await self._db.write(
            lambda tx: once(tx, principal, wish, SlackSubscription, self._clock, effect)
        )


def _standing(tx: Tx) -> list[SlackSubscription]:
    return [each for each in store.subscriptions(tx) if each.ended_at is None]
