"""What a webhook is: where events are sent to, which ones, and on whose behalf."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from dg.core.types import Environment

KIND = "webhook"
"""The outbox's word for their messages."""
TEST = "webhook.test"
"""The type of what a test sends: nothing that happened."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class CreateWebhook(_Model):
    """What is asked for. `events` are types, `deployment.*` for all of a kind, `*` for all there are;
    `filter` is one of the event list's; `environment` and `service` narrow it for good."""

    url: str
    events: tuple[str, ...] = ("*",)
    description: str | None = None
    filter: str | None = None
    environment: Environment | None = None
    service: str | None = None


class UpdateWebhook(_Model):
    """What is to be changed; the rest stays. An empty `description` or `filter` removes it."""

    url: str | None = None
    events: tuple[str, ...] | None = None
    description: str | None = None
    filter: str | None = None
    enabled: bool | None = None


class Webhook(_Model):
    """A receiver of events. Times are microseconds since the epoch.

    `owner` is who made it or changed it last: it gets the events that they may read, no others. `failures` in
    a row begin anew with each delivery that arrives.
    """

    id: str
    url: str
    events: tuple[str, ...]
    description: str | None = None
    filter: str | None = None
    environment: Environment | None = None
    service: str | None = None
    enabled: bool = True
    disabled_reason: str | None = None
    owner: str
    created_at: int
    updated_at: int
    failures: int = 0
    last_error: str | None = None

    @property
    def destination(self) -> str:
        """Its name in the outbox."""
        return destination(self.id)

    def takes(self, kind: str) -> bool:
        """Whether events of this type are among the ones it wants."""
        return any(_matches(pattern, kind) for pattern in self.events)


class IssuedWebhook(_Model):
    """A webhook with its secret, which is shown once."""

    webhook: Webhook
    secret: str


class WebhookDelivery(_Model):
    """One event on its way to a receiver, or there. `http_status` is what the receiver answered last."""

    id: str
    event: str
    seq: int | None = None
    state: Literal["waiting", "sent", "failed"]
    attempts: int
    created_at: int
    settled_at: int | None = None
    next_at: int | None = None
    http_status: int | None = None
    error: str | None = None


def destination(webhook_id: str) -> str:
    """A webhook's name in the outbox."""
    return f"{KIND}:{webhook_id}"


def _matches(pattern: str, kind: str) -> bool:
    if pattern.endswith("*"):
        return kind.startswith(pattern[:-1])
    return kind == pattern
