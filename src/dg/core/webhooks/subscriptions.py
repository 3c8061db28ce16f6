"""Makes deliveries of what happened: which webhooks want an event, and may have it."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.access.models import Principal
from dg.core.access.standing import standing
from dg.core.clock import Clock, Ids
from dg.core.database import Shapes, Tx
from dg.core.feed import FIELDS
from dg.core.filters import condition, parse
from dg.core.ledger import Entry
from dg.core.outbox import store as outbox
from dg.core.webhooks import store
from dg.core.webhooks.models import KIND, Webhook
from dg.core.webhooks.sending import disable, visible
from dg.settings.webhooks import Webhooks as WebhookSettings

_shapes = Shapes()
_seq = schema.ledger.c.seq


class Subscriptions:
    """The outbox's follower for webhooks."""

    def __init__(self, clock: Clock, ids: Ids, settings: WebhookSettings) -> None:
        self._clock = clock
        self._ids = ids
        self._settings = settings
        self._wanted: tuple[Webhook, ...] | None = None
        """What is enabled; None when a change to webhooks was seen and not looked at yet."""

    def wants(self, entry: Entry) -> bool:
        if entry.type.startswith("webhook."):
            self._wanted = None
        return self._wanted is None or any(webhook.takes(entry.type) for webhook in self._wanted)

    def project(self, tx: Tx, entries: Sequence[Entry]) -> None:
        now = self._clock.micros()
        found = store.enabled(tx)
        self._wanted = tuple(webhook for webhook, _ in found)
        owners = standing(tx, {webhook.owner for webhook in self._wanted}, now)
        for webhook, since in found:
            owner = owners.get(webhook.owner)
            if owner is None:
                who = "who made or changed it last may do nothing any more: their token has ended"
                disable(tx, webhook, f"{who}; whoever enables it takes it over", now)
            else:
                newer = [entry for entry in entries if entry.seq > since]
                self._deliver(tx, webhook, self._chosen(tx, webhook, owner, newer), now)

    def _chosen(
        self, tx: Tx, webhook: Webhook, owner: Principal, entries: Sequence[Entry]
    ) -> Sequence[Entry]:
        chosen = [
            entry
            for entry in entries
            if webhook.takes(entry.type)
            and webhook.environment in (None, entry.environment)
            and webhook.service in (None, entry.service)
            and visible(owner, entry)
        ]
        return self._filtered(tx, webhook.filter, chosen) if webhook.filter and chosen else chosen

    def _filtered(self, tx: Tx, text: str, entries: Sequence[Entry]) -> Sequence[Entry]:
        wanted = condition(parse(text), FIELDS, self._clock.micros())

        def build() -> sa.ClauseElement:
            span = _seq.between(bindparam("first"), bindparam("last"))
            return sa.select(_seq).where(span, wanted.clause)

        values = {"first": entries[0].seq, "last": entries[-1].seq, **wanted.params}
        found = {row["seq"] for row in tx.all(_shapes.get(wanted.shape, build), **values)}
        return [entry for entry in entries if entry.seq in found]

    def _deliver(self, tx: Tx, webhook: Webhook, entries: Sequence[Entry], now: int) -> None:
        if not entries:
            return
        most = self._settings.backlog
        if outbox.waiting_for(tx, webhook.destination) + len(entries) > most:
            disable(tx, webhook, f"more than {most} deliveries wait for it (webhooks.backlog)", now)
            return
        for entry in entries:
            outbox.put(
                tx,
                id=self._ids.new(),
                kind=KIND,
                key=f"{webhook.id}:{entry.seq}",
                destination=webhook.destination,
                payload={"webhook": webhook.id, "seq": entry.seq, "event": entry.type},
                now=now,
            )
