"""What a line of words means: one type for each thing that can be asked.

`deployment` is what people call one: its number, its id or how that begins, or `latest`. Durations are in
seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from dg.core.types import Environment


@dataclass(frozen=True)
class Deploy:
    service: str
    ref: str
    environment: Environment
    version: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Status:
    """What runs where; None is every service, every environment."""

    service: str | None = None
    environment: Environment | None = None


@dataclass(frozen=True)
class Show:
    deployment: str


@dataclass(frozen=True)
class Rollback:
    """Without `target` to the newest good one; else to a deployment, by its name or its version."""

    service: str
    environment: Environment
    target: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Approve:
    deployment: str
    note: str | None = None


@dataclass(frozen=True)
class Reject:
    deployment: str
    reason: str


@dataclass(frozen=True)
class Cancel:
    deployment: str
    reason: str | None = None


@dataclass(frozen=True)
class Retry:
    deployment: str
    from_step: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Why:
    service: str
    environment: Environment


@dataclass(frozen=True)
class Lock:
    service: str
    environment: Environment
    seconds: float
    reason: str


@dataclass(frozen=True)
class Unlock:
    service: str
    environment: Environment
    reason: str | None = None


@dataclass(frozen=True)
class Freeze:
    """Of one service, of one environment, of both, or of all where neither is named."""

    seconds: float
    reason: str
    service: str | None = None
    environment: Environment | None = None


@dataclass(frozen=True)
class Thaw:
    """One freeze by its id; without it all that the caller may end."""

    freeze: str | None = None


@dataclass(frozen=True)
class Health:
    """How services are; None is every environment that has probes."""

    environment: Environment | None = None


@dataclass(frozen=True)
class Env:
    """How an environment is configured."""

    environment: Environment


@dataclass(frozen=True)
class Mute:
    """Tell a channel, by its id, only what cannot wait; None is where one is."""

    seconds: float
    channel: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Unmute:
    """Tell a channel everything again; None is where one is."""

    channel: str | None = None


@dataclass(frozen=True)
class Subscribe:
    """Tell a channel of these lanes, too; None is all of a kind, and for `channel` where one is."""

    service: str | None = None
    environment: Environment | None = None
    severity: str | None = None
    channel: str | None = None


@dataclass(frozen=True)
class Unsubscribe:
    """End a subscription to exactly these lanes."""

    service: str | None = None
    environment: Environment | None = None
    channel: str | None = None


@dataclass(frozen=True)
class Subscriptions:
    """What a channel is told beside the routes; None is where one is."""

    channel: str | None = None


@dataclass(frozen=True)
class Who:
    """Who one is here, and what one may."""


@dataclass(frozen=True)
class Help:
    verb: str | None = None


Command = (
    Deploy
    | Status
    | Show
    | Rollback
    | Approve
    | Reject
    | Cancel
    | Retry
    | Why
    | Lock
    | Unlock
    | Freeze
    | Thaw
    | Health
    | Env
    | Mute
    | Unmute
    | Subscribe
    | Unsubscribe
    | Subscriptions
    | Who
    | Help
)
