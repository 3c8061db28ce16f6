"""Webhooks: receivers outside that events are sent to."""

from __future__ import annotations

from dg.client.http import Http, path
from dg.client.wire import decode, encode
from dg.core.deployments.models import Page
from dg.core.webhooks.models import CreateWebhook, IssuedWebhook, UpdateWebhook, Webhook, WebhookDelivery


class Webhooks:
    def __init__(self, http: Http) -> None:
        self._http = http

    async def create(self, request: CreateWebhook, *, key: str | None = None) -> IssuedWebhook:
        """Send events to a receiver from now on. Raises Invalid for an address that may not be sent to."""
        answer = await self._http.write("POST", path("webhooks"), encode(request, only_set=True), key=key)
        return decode(IssuedWebhook, answer)

    async def list(self) -> tuple[Webhook, ...]:
        """All of them within reach, oldest first."""
        return decode(Page[Webhook], await self._http.get(path("webhooks"))).items

    async def get(self, webhook_id: str) -> Webhook:
        """One of them. Raises NotFound."""
        return decode(Webhook, await self._http.get(path("webhooks", webhook_id)))

    async def update(self, webhook_id: str, request: UpdateWebhook) -> Webhook:
        """Change it, disable it or enable it again; it is the caller's from then on. Raises NotFound."""
        answer = await self._http.write("PUT", path("webhooks", webhook_id), encode(request, only_set=True))
        return decode(Webhook, answer)

    async def delete(self, webhook_id: str) -> Webhook:
        """Send nothing there any more. Raises NotFound."""
        return decode(Webhook, await self._http.write("DELETE", path("webhooks", webhook_id)))

    async def test(self, webhook_id: str) -> WebhookDelivery:
        """Send a test there now, once, and say how that went. Raises NotFound."""
        answer = await self._http.write("POST", path("webhooks", webhook_id, "test"))
        return decode(WebhookDelivery, answer)

    async def rotate(self, webhook_id: str, *, key: str | None = None) -> IssuedWebhook:
        """Give it a new secret; the one before it signs too for a while. Raises NotFound."""
        answer = await self._http.write("POST", path("webhooks", webhook_id, "rotate"), key=key)
        return decode(IssuedWebhook, answer)

    async def deliveries(
        self, webhook_id: str, *, cursor: str | None = None, limit: int | None = None
    ) -> Page[WebhookDelivery]:
        """One page of what was sent and what waits, newest first. Raises NotFound."""
        query = {"cursor": cursor, "limit": limit}
        answer = await self._http.get(path("webhooks", webhook_id, "deliveries"), query)
        return decode(Page[WebhookDelivery], answer)
