"""A transport that holds every answer against the contract: an undocumented status is a failure."""

from __future__ import annotations

import json
from typing import Any

import httpx

from dg.api import contract
from dg.api.app import App
from dg.api.call import PREFIX
from dg.api.contract import Schema
from dg.api.routing import Router
from dg.core.errors import Problem

DOCUMENTS = [contract.load(name) for name in contract.NAMES]
ROUTER = Router((PREFIX, operation) for document in DOCUMENTS for operation in contract.operations(document))
RESPONSES: dict[str, tuple[contract.Document, dict[str, Any]]] = {
    item[method]["operationId"]: (document, item[method]["responses"])
    for document in DOCUMENTS
    for item in document["paths"].values()
    for method in contract.METHODS
    if method in item
}


class CheckedTransport(httpx.ASGITransport):
    """Calls the application in process, from an address that is not this machine's."""

    def __init__(self, app: App) -> None:
        super().__init__(app=app, client=("203.0.113.9", 40000), raise_app_exceptions=True)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        await response.aread()
        check(request, response)
        return response


def check(request: httpx.Request, response: httpx.Response) -> None:
    """Raises AssertionError when the contract does not describe `response` to `request`."""
    try:
        operation = ROUTER.find(request.method, request.url.raw_path.partition(b"?")[0]).operation
    except Problem:
        return
    document, documented = RESPONSES[operation.id]
    status = str(response.status_code)
    assert status != "500", f"{operation.id} failed: {response.text}"
    assert status in documented, f"{operation.id} answered an undocumented {status}: {response.text}"
    content = contract.resolve(document, documented[status]).get("content", {})
    if status == "304":
        assert not response.content
        return
    media_type = response.headers.get("content-type", "").split(";")[0]
    assert media_type in content, f"{operation.id} answered {status} with {media_type}"
    if media_type == "application/json" and request.method != "HEAD":
        wrong = Schema(content[media_type]["schema"], document).mistakes(json.loads(response.content))
        assert not wrong, f"{operation.id} answered {status} against its contract: {wrong}"
