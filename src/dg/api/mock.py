"""A stand-in for a server, made of the contracts alone: it keeps nothing and answers with their examples.

Requests are checked as the server checks them. `dg mock` runs it; client authors test against it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dg.api import auth, body, contract, errors, json, request, samples, soundness
from dg.api.app import UNVERSIONED
from dg.api.call import Lingering
from dg.api.contract import Document, Operation
from dg.api.exchange import Exchange, RequestIds
from dg.api.feed import socket
from dg.api.routing import Router
from dg.api.versions import Versions
from dg.core.errors import NotFound, Problem
from dg.settings.server import Server

log = logging.getLogger(__name__)

BY_THE_EXCHANGE = {"x-request-id", "api-version"}
"""Headers that every answer gets on its way out, with values that are true."""


class Mock:
    """The ASGI application. `stop` lets go of whoever sends slowly."""

    def __init__(self, documents: Iterable[Document], limits: Server) -> None:
        self._limits = limits
        self._answers: dict[str, Answers] = {}
        operations: list[Operation] = []
        for document in documents:
            declared = {each["operationId"]: each for _, each, _ in soundness.operations(document)}
            for operation in contract.operations(document):
                operations.append(operation)
                self._answers[operation.id] = Answers(declared[operation.id]["responses"], document)
        self._router = Router([*((each.prefix, each) for each in operations), *_aliases(operations)])
        self._versions = Versions(operations)
        self._request_ids = RequestIds()
        self._lingering = Lingering()

    def stop(self) -> None:
        """End the waits for bodies."""
        self._lingering.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = request.fields(scope)
        request_id = self._request_ids.of(headers)
        if scope["type"] == "websocket":
            await receive()
            await socket.reject(send, NotFound("a mock has no WebSocket", reason="no_path"), request_id)
            return
        exchange = Exchange(request_id, scope, send)
        try:
            response = await self._answer(exchange, scope, receive, headers)
        except Problem as problem:
            response = errors.render(problem, request_id)
        except Exception:
            log.exception("request %s failed: %s", request_id, exchange.route)
            response = errors.crash(request_id)
        await response(scope, receive, exchange.send)

    async def _answer(
        self, exchange: Exchange, scope: Scope, receive: Receive, headers: Mapping[str, str]
    ) -> Response:
        path = request.raw_path(scope)
        self._versions.check(headers.get("accept-version"), path)
        operation, values = self._router.find(scope["method"], path)
        exchange.means(operation)
        if operation.security == "required" or (
            operation.security == "optional" and "authorization" in headers
        ):
            auth.bearer(headers.get("authorization", ""))
        operation.arguments(values, request.query(scope), headers)
        await body.checked(operation, receive, headers, self._limits, self._lingering)
        return self._answers[operation.id].choose(
            preferred_code(headers.get("prefer", "")), headers.get("accept", "")
        )


def _aliases(operations: Iterable[Operation]) -> Iterator[tuple[str, Operation]]:
    return (("", operation) for operation in operations if operation.path in UNVERSIONED)


@dataclass(frozen=True)
class Answers:
    """What one operation may answer, by its contract."""

    responses: Mapping[str, Mapping[str, Any]]
    document: Document

    def choose(self, code: str | None, accept: str) -> Response:
        """The example for the preferred status where the contract has it, else for when all goes well.

        An answer in several forms is given in the one that `accept` names first, else in its first.
        """
        preferred = code is not None and code in self._examples
        status = code if code is not None and preferred else self._good
        headers = {"preference-applied": f"code={status}"} if preferred else {}
        forms = self._examples[status]
        named = [item.partition(";")[0].strip().lower() for item in accept.split(",")]
        media_type = next((form for form in named if form in forms), next(iter(forms), None))
        content = forms[media_type] if media_type else b""
        return Response(content, int(status), {**headers, **self._headers(status)}, media_type)

    @cached_property
    def _good(self) -> str:
        return min(status for status in self.responses if status.startswith("2"))

    @cached_property
    def _examples(self) -> Mapping[str, Mapping[str, bytes]]:
        """Status and form to the bytes of the answer."""
        return {
            status: {form: _written(form, samples.of_media(media, self.document)) for form, media in forms}
            for status, answer in self.responses.items()
            for forms in [contract.resolve(self.document, answer).get("content", {}).items()]
        }

    def _headers(self, status: str) -> dict[str, str]:
        declared = contract.resolve(self.document, self.responses[status]).get("headers", {})
        found = {name.lower(): contract.resolve(self.document, each) for name, each in declared.items()}
        return {
            name: str(each["example"])
            for name, each in found.items()
            if "example" in each and name not in BY_THE_EXCHANGE
        }


def _written(media_type: str, value: Any) -> bytes:
    """An example in its form; what is not JSON was written in the contract as text."""
    if media_type == json.MEDIA_TYPE or not isinstance(value, str):
        return json.write(value)
    return value.encode()


def preferred_code(header: str) -> str | None:
    """The status that a Prefer header (RFC 7240) asks for by `code=404`; the first counts."""
    for preference in header.split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "code":
            return value.strip().strip('"')
    return None
