"""What the tests of webhooks stand on."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.core.access.room import signing_key
from tests.core.receivers import Received, Receiver

from dg.core.access.models import SYSTEM, IssuedToken, Principal
from dg.core.app import Core, open_core
from dg.core.events import FreezeSet
from dg.core.home import Home, write_private
from dg.core.testing import ManualClock, eventually
from dg.core.webhooks.models import CreateWebhook, IssuedWebhook, WebhookDelivery
from dg.settings import Settings


@dataclass
class Yard:
    """An open core and its one receiver."""

    core: Core
    clock: ManualClock
    receiver: Receiver

    async def who(self, role: str, **narrowed: Any) -> tuple[Principal, IssuedToken]:
        """Somebody with a token, which may be revoked."""
        issued = await self.core.tokens.create(SYSTEM, name=role, role=role, kind="person", **narrowed)
        return issued.token.principal(), issued

    async def hook(self, who: Principal, path: str = "/hook", **more: Any) -> IssuedWebhook:
        return await self.core.webhooks.create(who, CreateWebhook(url=f"{self.receiver.url}{path}", **more))

    async def happen(self, environment: str = "staging", service: str = "web", reason: str = "fair") -> None:
        """A freeze is set: something with an environment and a service."""
        fact = FreezeSet(
            freeze=f"freeze-{service}", reason=reason, until=0, environment=environment, service=service
        )
        await self.core.webhooks._db.write(lambda tx: tx.append(fact, SYSTEM))

    async def got(self, count: int) -> list[Received]:
        """The first requests that the receiver gets."""
        await eventually(lambda: len(self.receiver.received) >= count)
        return self.receiver.received

    async def deliveries(self, who: Principal, webhook_id: str) -> list[WebhookDelivery]:
        """Oldest first."""
        page = await self.core.webhooks.deliveries(who, webhook_id, limit=200)
        return list(reversed(page.items))

    async def settled(self, who: Principal, webhook_id: str, *states: str) -> list[WebhookDelivery]:
        """Wait until the deliveries are so."""

        async def so() -> bool:
            return [each.state for each in await self.deliveries(who, webhook_id)] == list(states)

        await eventually(so)
        return await self.deliveries(who, webhook_id)

    async def types(self) -> list[str]:
        """What happened to webhooks."""
        entries = await self.core.feed.read(SYSTEM, limit=1000, filter="type~webhook")
        return [entry.type for entry in entries]


def told(received: Received) -> Any:
    return json.loads(received.body)


def genuine(received: Received, secret: str) -> bool:
    """What a receiver does, written anew."""
    pairs = [part.split("=", 1) for part in received.headers["dg-signature"].split(",")]
    moment = next(value for name, value in pairs if name == "t")
    expected = hmac.new(secret.encode(), moment.encode() + b"." + received.body, hashlib.sha256).hexdigest()
    return any(name == "v1" and hmac.compare_digest(value, expected) for name, value in pairs)


@asynccontextmanager
async def open_yard(
    home: Path, receiver: Receiver, url: str | None = None, clock: ManualClock | None = None, **settings: Any
) -> AsyncIterator[Yard]:
    Home(home).make()
    write_private(Home(home).keys / "issuer.pem", signing_key())
    values = {
        "home": home,
        "outbound": {"allow": ["127.0.0.1"]},
        "database": {"url": url},
        "webhooks": {"timeout": 2.0, "disable_after": 3, **settings},
    }
    clock = clock or ManualClock()
    async with open_core(Settings.model_validate(values), clock=clock, environ={}) as core:
        yield Yard(core, clock, receiver)
