"""Sends one delivery to its receiver, and says what the answer means."""

from __future__ import annotations

from dg.core import ledger, signing
from dg.core.access.models import SYSTEM, Action, Principal
from dg.core.access.standing import standing
from dg.core.clock import SECOND, Clock
from dg.core.database import Database, Tx
from dg.core.events import WebhookDisabled
from dg.core.http import Answer, Outbound, Request
from dg.core.keys import Envelope
from dg.core.ledger import Entry
from dg.core.outbox import Failed, Message, Outcome, Policy, Sent
from dg.core.outbox.service import hold
from dg.core.webhooks import content, store
from dg.core.webhooks.models import Webhook
from dg.core.webhooks.store import Sealed
from dg.settings.webhooks import Webhooks as WebhookSettings

_KEPT = 1024
"""Bytes of an answer that are read: nobody looks at them."""
_GONE = 410


class Deliverer:
    """The outbox's sender of webhooks; `send_now` is for tests of a receiver."""

    def __init__(
        self, db: Database, clock: Clock, outbound: Outbound, envelope: Envelope, settings: WebhookSettings
    ) -> None:
        self._db = db
        self._clock = clock
        self._outbound = outbound
        self._envelope = envelope
        self._settings = settings
        self.policy = Policy(attempts=settings.attempts)

    async def send(self, message: Message) -> Outcome:
        """Send one event to one receiver, if its owner may still read it."""
        webhook_id, seq = message.payload["webhook"], message.payload["seq"]
        now = self._clock.micros()

        def work(tx: Tx) -> tuple[Webhook, Sealed, Entry | None, Principal | None] | None:
            found = store.find(tx, webhook_id)
            if found is None:
                return None
            entries = ledger.after(tx, seq - 1, 1)
            entry = entries[0] if entries and entries[0].seq == seq else None
            return *found, entry, standing(tx, [found[0].owner], now).get(found[0].owner)

        known = await self._db.read(work)
        webhook, secrets, entry, owner = known or (None, None, None, None)
        if webhook is None or secrets is None or entry is None:
            return Failed("the webhook or the event is gone", final=True, at_fault="message")
        if owner is None or not visible(owner, entry):
            return Failed(
                "the webhook's owner may not read this event any more", final=True, at_fault="message"
            )
        return await self.send_now(message.id, webhook, secrets, entry.type, entry)

    async def send_now(
        self, delivery: str, webhook: Webhook, secrets: Sealed, kind: str, entry: Entry | None
    ) -> Sent | Failed:
        """Send it once. Raises what `Outbound.send` does, Refused for secrets that cannot be opened."""
        now = self._clock.micros()
        body = content.body(delivery, webhook.id, kind, entry)
        keys = [self._envelope.open(sealed, context(webhook.id)) for sealed in secrets.standing(now)]
        headers = content.headers(delivery, webhook.id, kind, entry)
        headers[signing.SIGNATURE] = signing.signature(keys, now // SECOND, body)
        request = Request("POST", webhook.url, headers, body, self._settings.timeout, _KEPT)
        return self._read(await self._outbound.send(request))

    def _read(self, answer: Answer) -> Sent | Failed:
        status = answer.status
        if 200 <= status < 300:
            return Sent(status)
        what = f"the receiver answered {status}"
        if status == _GONE:
            return Failed(f"{what}: it is gone", status, final=True)
        if 300 <= status < 400:
            return Failed(f"{what}: redirects are not followed, name the new address", status)
        return Failed(what, status, answer.retry_after(self._clock.micros()))

    def failed(self, tx: Tx, message: Message, failure: Failed, failures: int, now: int) -> None:
        """Disable a webhook whose receiver is gone, or failed too often in a row."""
        found = store.find(tx, message.payload["webhook"])
        if found is None or not found[0].enabled:
            return
        if failure.answer == _GONE:
            disable(tx, found[0], "the receiver answered 410: it is gone", now)
        elif failures >= self._settings.disable_after:
            disable(tx, found[0], f"{failures} failures in a row, the last: {failure.error}", now)


def context(webhook_id: str) -> str:
    """What a webhook's secrets are sealed for."""
    return f"webhook/{webhook_id}"


def visible(owner: Principal, entry: Entry) -> bool:
    """Whether `owner` may read it, as in the list of events."""
    return entry.actor == owner.id or owner.may(Action.EVENT_READ, entry.environment, entry.service)


def disable(tx: Tx, webhook: Webhook, reason: str, now: int) -> None:
    """Send nothing there until somebody enables it; what waits goes on waiting."""
    changed = {"enabled": False, "disabled_reason": reason, "updated_at": now}
    store.change(tx, webhook.model_copy(update=changed))
    hold(tx, webhook.destination)
    fact = WebhookDisabled(
        webhook=webhook.id, environment=webhook.environment, service=webhook.service, reason=reason
    )
    tx.append(fact, SYSTEM)
