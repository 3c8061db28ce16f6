"""A contract of three operations over a core that only knows who is asking: the frame without the product."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
from starlette.responses import Response

from dg.api.app import App, create_app
from dg.api.call import Call, answer
from dg.core.access.models import Origin, Principal, Role
from dg.core.app import Core
from dg.core.errors import Refused, Unauthenticated
from dg.core.ledger import GENESIS, Entry, Head
from dg.core.sighting import Sighting
from dg.core.testing import ManualClock, person
from dg.settings import Settings

TOKEN = {"authorization": "Bearer operator"}
URL = "http://127.0.0.1"

DOCUMENT = {
    "info": {"version": "1.0.0"},
    "paths": {
        "/things": {
            "get": {
                "operationId": "listThings",
                "responses": {},
                "parameters": [
                    {
                        "name": "limit",
                        "in": "query",
                        "schema": {"type": "integer", "minimum": 1, "default": 7},
                    },
                    {"name": "colour", "in": "query", "schema": {"$ref": "#/components/schemas/Colour"}},
                ],
            },
            "post": {
                "operationId": "makeThing",
                "responses": {},
                "parameters": [{"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}}],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                },
            },
        },
        "/things/all": {"delete": {"operationId": "dropThings", "security": [], "responses": {}}},
        "/things/{name}": {
            "get": {
                "operationId": "getThing",
                "responses": {},
                "security": [{"bearerAuth": []}, {}],
                "parameters": [
                    {
                        "name": "name",
                        "in": "path",
                        "required": True,
                        "schema": {"$ref": "#/components/schemas/Name"},
                    },
                    {
                        "name": "Accept-Version",
                        "in": "header",
                        "schema": {"type": "string"},
                    },
                ],
            }
        },
    },
    "security": [{"bearerAuth": []}],
    "components": {
        "schemas": {
            "Colour": {"type": "string", "enum": ["red", "blue"]},
            "Name": {"type": "string", "pattern": "^[a-z]+$", "x-hint": "must be lower case letters"},
            "Thing": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name"],
                "properties": {
                    "name": {"$ref": "#/components/schemas/Name"},
                    "colour": {"$ref": "#/components/schemas/Colour"},
                    "secret": {"type": "string", "maxLength": 4},
                    "size": {"type": "integer", "minimum": 0, "maximum": 9},
                },
            },
        }
    },
}


class FakeAccess:
    """Tokens are the names of their roles."""

    async def authenticate(self, credential: str, origin: Origin | None = None) -> Principal:
        if credential not in set(Role):
            raise Unauthenticated("this token is not valid")
        return person(credential)


class FakeFeed:
    """Facts are published by hand."""

    sighting = Sighting("home", 0, GENESIS)

    def __init__(self) -> None:
        self.callbacks: list[Callable[[Sequence[Entry]], None]] = []

    def subscribe(self, callback: Callable[[Sequence[Entry]], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def visible(self, principal: Principal, entry: Entry) -> bool:
        return bool(principal.grants)

    async def entry(self, seq: int) -> Head | None:
        return None

    async def head(self, principal: Principal) -> Head:
        return Head(0, "")


class Things:
    """Handlers that show what they were given; `gate` holds back makers, `failure` breaks readers."""

    def __init__(self) -> None:
        self.made: list[Any] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.failure: Exception | None = None
        self.padding = ""
        self.beside: dict[str, str] = {}

    async def list(self, call: Call) -> Response:
        if self.failure:
            raise self.failure
        return answer({"by": call.principal.name, "padding": self.padding, **call.arguments})

    async def make(self, call: Call) -> Response:
        self.entered.set()
        await self.gate.wait()
        self.made.append(call.body)
        once = call.once and {"key": call.once.key, "fingerprint": call.once.fingerprint}
        return answer({"made": {**call.body, **self.beside}, "once": once}, 201)

    async def get(self, call: Call) -> Response:
        return answer({"name": call.arguments["name"], "by": call.principal.name})

    async def drop(self, call: Call) -> Response:
        raise Refused("nothing can be dropped now", reason="busy", holder="x")


def make_app(
    things: Things,
    home: Path,
    *,
    limits: Mapping[str, str] | None = None,
    requests: bool = False,
    clock: ManualClock | None = None,
    **server: Any,
) -> App:
    core = cast(Core, SimpleNamespace(access=FakeAccess(), feed=FakeFeed(), clock=clock or ManualClock()))
    settings = Settings.model_validate(
        {"home": home, "server": server, "limits": limits or {}, "logging": {"requests": requests}}
    )
    handlers = {
        "listThings": things.list,
        "makeThing": things.make,
        "getThing": things.get,
        "dropThings": things.drop,
    }
    return create_app(core, settings, handlers, {"things": DOCUMENT})


def make_client(app: App, peer: str = "203.0.113.9") -> httpx.AsyncClient:
    """A caller from `peer`, in process."""
    transport = httpx.ASGITransport(app=app, client=(peer, 40000), raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url=URL)
