"""What happens to those whom dg tells: webhooks, and channels in Slack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dg.core.events.fact import Fact


@dataclass(frozen=True, kw_only=True)
class SlackChannelLost(Fact):
    """Nothing can be said in a channel any more, until somebody mends it: `alert`."""

    about: ClassVar[str] = "channel"

    channel: str
    reason: str
    alert: bool = True


@dataclass(frozen=True, kw_only=True)
class SlackChannelMuted(Fact):
    """A channel hears only of what cannot wait until `until` (microseconds); again for one that was muted."""

    about: ClassVar[str] = "channel"

    channel: str
    mute: str
    until: int
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class SlackChannelUnmuted(Fact):
    """A channel hears of everything again: `automatic` when its time was over."""

    about: ClassVar[str] = "channel"

    channel: str
    mute: str
    automatic: bool = False


@dataclass(frozen=True, kw_only=True)
class SlackChannelSubscribed(Fact):
    """A channel hears of these lanes, too, and of services from this severity on; None is all of a kind."""

    about: ClassVar[str] = "channel"

    channel: str
    subscription: str
    severity: str
    environment: str | None = None
    service: str | None = None


@dataclass(frozen=True, kw_only=True)
class SlackChannelUnsubscribed(Fact):
    """A subscription of a channel is over."""

    about: ClassVar[str] = "channel"

    channel: str
    subscription: str
    environment: str | None = None
    service: str | None = None


@dataclass(frozen=True, kw_only=True)
class SlackTokenRefused(Fact):
    """Slack takes `token` (`bot` or `app`) no more: nothing is told there until it is replaced: `alert`."""

    about: ClassVar[str] = "token"

    token: str
    reason: str
    alert: bool = True


@dataclass(frozen=True, kw_only=True)
class SlackTokenAccepted(Fact):
    """Slack takes `token` (`bot` or `app`), which it had refused."""

    about: ClassVar[str] = "token"

    token: str


@dataclass(frozen=True, kw_only=True)
class HandoverPosted(Fact):
    """Somebody had the summary of a shift posted in a channel of Slack; `sha256` is of its text."""

    about: ClassVar[str] = "handover"

    handover: str
    channel: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class WebhookFact(Fact):
    """What every fact about a webhook carries; its address stays out, which may be a secret."""

    about: ClassVar[str] = "webhook"

    webhook: str
    environment: str | None = None
    service: str | None = None


@dataclass(frozen=True, kw_only=True)
class WebhookCreated(WebhookFact):
    """Events are sent to a receiver at `host` from now on."""

    host: str


@dataclass(frozen=True, kw_only=True)
class WebhookUpdated(WebhookFact):
    """A webhook was changed; who changed it is the one whose reach counts from now on."""

    changed: list[str]


@dataclass(frozen=True, kw_only=True)
class WebhookRotated(WebhookFact):
    """A webhook got a new secret; the one before it signs too until `until` (microseconds)."""

    until: int


@dataclass(frozen=True, kw_only=True)
class WebhookDisabled(WebhookFact):
    """Nothing is sent there until somebody enables it. Everybody should hear of it: `alert`."""

    reason: str
    alert: bool = True


@dataclass(frozen=True, kw_only=True)
class WebhookEnabled(WebhookFact):
    """A person let events be sent there again."""


@dataclass(frozen=True, kw_only=True)
class WebhookDeleted(WebhookFact):
    """Nothing is sent there any more; its secret and its deliveries are gone."""
