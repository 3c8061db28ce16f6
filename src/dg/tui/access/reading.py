"""What the access screen asks the server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from dg.tui.parts import Parts

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.access.accounts import SlackLink
    from dg.core.access.models import ApiKey, Binding, DefinedRole, Principal, Token
    from dg.core.access.sessions import Session
    from dg.core.audit.models import AuditEntry
    from dg.core.webhooks.models import Webhook

T = TypeVar("T")

MOST = 200
"""Entries of the audit log, and bindings, that are shown."""


@dataclass
class Seen(Parts):
    """Who may come in and do what, as it was read last."""

    principal: Principal | None = None
    sessions: tuple[Session, ...] = ()
    keys: tuple[ApiKey, ...] = ()
    tokens: tuple[Token, ...] = ()
    bindings: tuple[Binding, ...] = ()
    roles: tuple[DefinedRole, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    slack: tuple[SlackLink, ...] = ()
    audit: tuple[AuditEntry, ...] = ()
    read: bool = False


async def read(dg: Client, seen: Seen, matching: str) -> None:
    """Everything. Raises Problem when not even one's own name can be read."""
    seen.principal = await dg.whoami()
    seen.sessions = await seen.take("sessions", dg.sessions.list(), seen.sessions)
    seen.keys = await seen.take("keys", dg.keys.list(), seen.keys)
    seen.tokens = await seen.take("tokens", dg.tokens.list(), seen.tokens)
    seen.bindings = await seen.take("bindings", _first(dg.bindings.all()), seen.bindings)
    seen.roles = await seen.take("roles", dg.roles.list(), seen.roles)
    seen.webhooks = await seen.take("webhooks", dg.webhooks.list(), seen.webhooks)
    seen.slack = await seen.take("slack", dg.slack.links(), seen.slack)
    await read_audit(dg, seen, matching)
    seen.read = True


async def read_audit(dg: Client, seen: Seen, matching: str) -> None:
    """The newest entries that match."""
    found = _first(dg.audit.all(matching=matching or None))
    seen.audit = await seen.take("audit", found, seen.audit)


async def _first(found: AsyncIterator[T]) -> tuple[T, ...]:
    taken: list[T] = []
    async for each in found:
        taken.append(each)
        if len(taken) == MOST:
            break
    return tuple(taken)
