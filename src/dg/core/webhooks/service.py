"""What can be done with webhooks, and by whom. Errors are those of `dg.core.errors`."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from dg.core import ledger, signing
from dg.core.access.models import Action, Principal
from dg.core.access.service import Access
from dg.core.clock import SECOND, Clock, Ids
from dg.core.database import Database, Tx
from dg.core.deployments.models import Page
from dg.core.errors import Invalid, NotFound, Problem, Refused
from dg.core.events import (
    WebhookCreated,
    WebhookDeleted,
    WebhookEnabled,
    WebhookRotated,
    WebhookUpdated,
    catalogue,
)
from dg.core.feed import FIELDS
from dg.core.filters import condition, parse
from dg.core.http import Outbound
from dg.core.idempotency import Once, once
from dg.core.keys import Envelope
from dg.core.outbox import Delivery, Failed, Sent
from dg.core.outbox import store as outbox
from dg.core.outbox.service import hold, release
from dg.core.text import plain
from dg.core.webhooks import store
from dg.core.webhooks.models import (
    KIND,
    TEST,
    CreateWebhook,
    IssuedWebhook,
    UpdateWebhook,
    Webhook,
    WebhookDelivery,
)
from dg.core.webhooks.sending import Deliverer, context
from dg.core.webhooks.store import Sealed
from dg.settings.webhooks import Webhooks as WebhookSettings

_NEWEST = 1 << 62
_LONGEST_DESCRIPTION = 200
_BY_HAND = "a person disabled it"


class _Issue(BaseModel):
    """What is kept of a request that gave a webhook a secret; `mark` tells that one from others."""

    webhook: Webhook
    mark: str


class Webhooks:
    """The actions on webhooks. `wake` is told when deliveries may go on."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        ids: Ids,
        access: Access,
        outbound: Outbound,
        envelope: Envelope,
        deliverer: Deliverer,
        settings: WebhookSettings,
        wake: Callable[[], None],
    ) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids
        self._access = access
        self._outbound = outbound
        self._envelope = envelope
        self._deliverer = deliverer
        self._settings = settings
        self._wake = wake

    async def create(
        self, principal: Principal, request: CreateWebhook, wish: Once | None = None
    ) -> IssuedWebhook:
        """Send events to `request.url` from now on. Raises Invalid, and Refused when there are too many."""
        where = (request.environment, request.service)
        self._access.require(principal, Action.WEBHOOK_CREATE, *where)
        self._access.require(principal, Action.EVENT_READ, *where)
        self._check(request.url, request.events, request.filter, request.description)
        now, webhook_id, secret = self._clock.micros(), self._ids.new(), signing.new_secret()
        given = request.model_dump()
        given |= {name: given[name] or None for name in ("description", "filter")}
        webhook = Webhook(**given, id=webhook_id, owner=principal.id, created_at=now, updated_at=now)
        sealed = self._envelope.seal(secret, context(webhook_id))

        def effect(tx: Tx) -> _Issue:
            if store.count(tx) >= self._settings.most:
                raise Refused(
                    f"there are {self._settings.most} webhooks (webhooks.most): delete one first",
                    reason="too_many",
                )
            store.insert(tx, webhook, sealed, ledger.head(tx).seq)
            host = urlsplit(webhook.url).hostname or ""
            tx.append(WebhookCreated(**_about(webhook), host=host), principal)
            return _issued(tx, webhook_id)

        return await self._issue(principal, wish, effect)

    async def rotate(self, principal: Principal, webhook_id: str, wish: Once | None = None) -> IssuedWebhook:
        """Give it a new secret; the one before it signs too for `webhooks.rotation`. Raises NotFound."""
        await self._may(principal, Action.WEBHOOK_UPDATE, webhook_id)
        fresh = self._envelope.seal(signing.new_secret(), context(webhook_id))
        now = self._clock.micros()
        until = now + int(self._settings.rotation * SECOND)

        def effect(tx: Tx) -> _Issue:
            webhook, kept = _found(tx, webhook_id)
            store.rotate(tx, webhook_id, Sealed(fresh, kept.secret, until))
            tx.append(WebhookRotated(**_about(webhook), until=until), principal)
            return _issued(tx, webhook_id)

        return await self._issue(principal, wish, effect)

    async def _issue(
        self, principal: Principal, wish: Once | None, effect: Callable[[Tx], _Issue]
    ) -> IssuedWebhook:
        """Do it once, and show the secret. A repeated request gets it again, though no answer keeps it: as
        long as it is the webhook's newest. Raises Refused (`shown_once`) afterwards."""

        def work(tx: Tx) -> tuple[_Issue, Sealed | None]:
            issue = once(tx, principal, wish, _Issue, self._clock, effect)
            found = store.find(tx, issue.webhook.id)
            return issue, found[1] if found else None

        issue, kept = await self._db.write(work)
        if kept is None or _mark(kept) != issue.mark:
            raise Refused(
                f"this request was done before: the webhook has the id {issue.webhook.id}, and its secret of "
                "then is not its newest any more; if you need one, rotate it",
                reason="shown_once",
                id=issue.webhook.id,
            )
        secret = self._envelope.open(kept.secret, context(issue.webhook.id))
        return IssuedWebhook(webhook=issue.webhook, secret=secret)

    async def list(self, principal: Principal) -> tuple[Webhook, ...]:
        """The webhooks within the caller's reach, oldest first."""
        self._access.require_somewhere(principal, Action.WEBHOOK_READ)
        found = await self._db.read(store.webhooks)
        return tuple(
            each for each in found if principal.may(Action.WEBHOOK_READ, each.environment, each.service)
        )

    async def get(self, principal: Principal, webhook_id: str) -> Webhook:
        """One of them. Raises NotFound."""
        return (await self._may(principal, Action.WEBHOOK_READ, webhook_id))[0]

    async def update(self, principal: Principal, webhook_id: str, request: UpdateWebhook) -> Webhook:
        """Change it, disable it, or enable it again. It then belongs to the caller, whose reach counts.

        Raises NotFound, Invalid.
        """
        before, _ = await self._may(principal, Action.WEBHOOK_UPDATE, webhook_id)
        self._access.require(principal, Action.EVENT_READ, before.environment, before.service)
        self._check(request.url, request.events, request.filter, request.description)

        def work(tx: Tx) -> Webhook:
            return self._update(tx, principal, webhook_id, request)

        changed = await self._db.write(work)
        self._wake()
        return changed

    def _update(self, tx: Tx, principal: Principal, webhook_id: str, request: UpdateWebhook) -> Webhook:
        before, _ = _found(tx, webhook_id)
        wanted = {
            name: value or (None if name in {"description", "filter"} else value)
            for name, value in request.model_dump(exclude_none=True).items()
        }
        changed = sorted(name for name, value in wanted.items() if getattr(before, name) != value)
        if not changed:
            return before
        now = {"owner": principal.id, "updated_at": self._clock.micros()}
        if "enabled" in changed:
            wanted["disabled_reason"] = None if wanted["enabled"] else _BY_HAND
        store.change(tx, before.model_copy(update={**wanted, **now}))
        if "enabled" in changed and wanted["enabled"]:
            # What happened meanwhile is not made up for; what waited before goes on.
            store.begin(tx, webhook_id, ledger.head(tx).seq)
            release(tx, before.destination)
            tx.append(WebhookEnabled(**_about(before)), principal)
        elif "enabled" in changed:
            hold(tx, before.destination)
        if changed != ["enabled"] or not wanted["enabled"]:
            tx.append(WebhookUpdated(**_about(before), changed=changed), principal)
        return _found(tx, webhook_id)[0]

    async def delete(self, principal: Principal, webhook_id: str) -> Webhook:
        """Send nothing there any more, and forget its secret and deliveries. Raises NotFound."""
        webhook, _ = await self._may(principal, Action.WEBHOOK_DELETE, webhook_id)

        def work(tx: Tx) -> None:
            _found(tx, webhook_id)
            store.delete(tx, webhook_id)
            outbox.drop(tx, webhook.destination)
            tx.append(WebhookDeleted(**_about(webhook)), principal)

        await self._db.write(work)
        return webhook

    async def test(self, principal: Principal, webhook_id: str) -> WebhookDelivery:
        """Send a test there now, once, also while it is disabled; say how that went. Raises NotFound."""
        webhook, secrets = await self._may(principal, Action.WEBHOOK_TEST, webhook_id)
        delivery_id, began = self._ids.new(), self._clock.micros()
        try:
            outcome: Sent | Failed = await self._deliverer.send_now(delivery_id, webhook, secrets, TEST, None)
        except Problem as problem:
            outcome = Failed(problem.message)
        delivery = self._tested(delivery_id, webhook, outcome, began)

        def work(tx: Tx) -> None:
            if store.find(tx, webhook_id):
                key = f"{webhook_id}:{delivery_id}"
                outbox.record(tx, delivery, kind=KIND, key=key, destination=webhook.destination)

        await self._db.write(work)
        return _listed(delivery)

    def _tested(self, delivery_id: str, webhook: Webhook, outcome: Sent | Failed, began: int) -> Delivery:
        failed = outcome if isinstance(outcome, Failed) else None
        return Delivery(
            id=delivery_id,
            state="failed" if failed else "sent",
            payload={"webhook": webhook.id, "event": TEST},
            attempts=1,
            created_at=began,
            settled_at=self._clock.micros(),
            answer=outcome.answer,
            error=failed.error if failed else None,
        )

    async def deliveries(
        self, principal: Principal, webhook_id: str, *, cursor: str | None = None, limit: int = 50
    ) -> Page[WebhookDelivery]:
        """What was sent to it and what waits, newest first. Raises NotFound, Invalid for a bad cursor."""
        webhook, _ = await self._may(principal, Action.WEBHOOK_READ, webhook_id)
        before = _before(cursor)
        found = await self._db.read(lambda tx: outbox.deliveries(tx, webhook.destination, before, limit + 1))
        more = str(found[limit - 1][0]) if len(found) > limit else None
        return Page(items=tuple(_listed(each) for _, each in found[:limit]), next_cursor=more)

    async def _may(self, principal: Principal, action: Action, webhook_id: str) -> tuple[Webhook, Sealed]:
        """A webhook with which the caller may do that. Raises NotFound as long as they may not see it."""
        self._access.require_somewhere(principal, action)
        found = await self._db.read(lambda tx: store.find(tx, webhook_id))
        if found is None:
            raise _missing(webhook_id)
        where = (found[0].environment, found[0].service)
        self._access.require_visible(principal, Action.WEBHOOK_READ, *where, _missing(webhook_id))
        self._access.require(principal, action, *where)
        return found

    def _check(
        self, url: str | None, events: Sequence[str] | None, text: str | None, description: str | None
    ) -> None:
        if url is not None:
            self._check_url(url)
        for pattern in events or ():
            _check_event(pattern)
        if events is not None and not events:
            raise _bad("events", "name at least one type of event, or leave it out for all")
        if text:
            condition(parse(text), FIELDS, self._clock.micros())
        if description and (len(description) > _LONGEST_DESCRIPTION or plain(description) != description):
            raise _bad("description", f"one line of at most {_LONGEST_DESCRIPTION} visible characters")

    def _check_url(self, url: str) -> None:
        try:
            self._outbound.check(url)
        except Invalid as problem:
            raise _bad("url", problem.message) from None


def _check_event(pattern: str) -> None:
    known = catalogue()
    if pattern in known or pattern == "*":
        return
    if pattern.endswith(".*") and any(kind.startswith(pattern[:-1]) for kind in known):
        return
    near = difflib.get_close_matches(pattern, sorted(known), 3, 0.5)
    hint = f"; there is {', '.join(near)}" if near else "; write `deployment.*` for all of a kind"
    raise _bad("events", f"there is no event {plain(pattern, limit=64)}{hint}")


def _bad(field: str, message: str) -> Invalid:
    return Invalid(f"{field}: {message}", errors=[{"field": field, "message": message}])


def _before(cursor: str | None) -> int:
    if cursor is None:
        return _NEWEST
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
        raise _bad("cursor", "give the next_cursor of the page before")
    return int(cursor)


def _missing(webhook_id: str) -> NotFound:
    return NotFound(f"there is no webhook {plain(webhook_id, limit=64)} that you may see")


def _found(tx: Tx, webhook_id: str) -> tuple[Webhook, Sealed]:
    found = store.find(tx, webhook_id)
    if found is None:
        raise _missing(webhook_id)
    return found


def _issued(tx: Tx, webhook_id: str) -> _Issue:
    webhook, kept = _found(tx, webhook_id)
    return _Issue(webhook=webhook, mark=_mark(kept))


def _mark(kept: Sealed) -> str:
    return hashlib.sha256(kept.secret.encode()).hexdigest()


def _about(webhook: Webhook) -> dict[str, Any]:
    return {"webhook": webhook.id, "environment": webhook.environment, "service": webhook.service}


def _listed(delivery: Delivery) -> WebhookDelivery:
    return WebhookDelivery(
        id=delivery.id,
        event=delivery.payload["event"],
        seq=delivery.payload.get("seq"),
        state=delivery.state,
        attempts=delivery.attempts,
        created_at=delivery.created_at,
        settled_at=delivery.settled_at,
        next_at=delivery.next_at,
        http_status=delivery.answer,
        error=delivery.error,
    )
