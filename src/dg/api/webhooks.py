"""Webhooks: where events are sent to."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from dg.api import wire
from dg.api.call import Call, Handler, answer, created, items
from dg.core.webhooks.models import CreateWebhook, UpdateWebhook


async def list_webhooks(call: Call) -> Response:
    return items(await call.core.webhooks.list(call.principal))


async def create_webhook(call: Call) -> Response:
    request = wire.read(CreateWebhook, call.body)
    issued = await call.core.webhooks.create(call.principal, request, call.once)
    return created(issued, f"/webhooks/{issued.webhook.id}")


async def get_webhook(call: Call) -> Response:
    return answer(await call.core.webhooks.get(call.principal, _id(call)))


async def update_webhook(call: Call) -> Response:
    request = wire.read(UpdateWebhook, call.body)
    return answer(await call.core.webhooks.update(call.principal, _id(call), request))


async def delete_webhook(call: Call) -> Response:
    return answer(await call.core.webhooks.delete(call.principal, _id(call)))


async def test_webhook(call: Call) -> Response:
    return answer(await call.core.webhooks.test(call.principal, _id(call)))


async def rotate_webhook(call: Call) -> Response:
    return answer(await call.core.webhooks.rotate(call.principal, _id(call), call.once))


async def list_webhook_deliveries(call: Call) -> Response:
    page = await call.core.webhooks.deliveries(
        call.principal, _id(call), cursor=call.arguments["cursor"], limit=call.arguments["limit"]
    )
    return answer(page)


def _id(call: Call) -> str:
    found: str = call.arguments["id"]
    return found.lower()


HANDLERS: Mapping[str, Handler] = {
    "listWebhooks": list_webhooks,
    "createWebhook": create_webhook,
    "getWebhook": get_webhook,
    "updateWebhook": update_webhook,
    "deleteWebhook": delete_webhook,
    "testWebhook": test_webhook,
    "rotateWebhook": rotate_webhook,
    "listWebhookDeliveries": list_webhook_deliveries,
}
