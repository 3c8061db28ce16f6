"""What happens to environments: their content, secrets, drift and health."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dg.core.events.fact import Fact, LaneFact


@dataclass(frozen=True, kw_only=True)
class EnvironmentUpdated(Fact):
    """An environment has a new version, or `restored` an older one or a `backup`; `changed` are keys."""

    about: ClassVar[str] = "environment"

    environment: str
    version: int
    changed: list[str]
    reason: str | None = None
    restored: int | None = None
    backup: str | None = None


@dataclass(frozen=True, kw_only=True)
class SecretAged(Fact):
    """A secret was set `days` ago, which is longer than secrets should last; told once in each such time."""

    about: ClassVar[str] = "environment"

    environment: str
    name: str
    version: int
    days: int


@dataclass(frozen=True, kw_only=True)
class DriftFound(LaneFact):
    """What runs there is not what `deployment` brought: `found`, and not `version` at `commit`.

    `expired`: it was known, and may not be so any longer. Everybody should hear of it: `alert`.
    """

    deployment: str
    version: str
    commit: str
    found: str
    expired: bool | None = None
    alert: bool = True


@dataclass(frozen=True, kw_only=True)
class DriftResolved(LaneFact):
    """What runs there is what dg deployed: `found`; or nothing checks it any more."""

    found: str | None = None


@dataclass(frozen=True, kw_only=True)
class DriftAccepted(LaneFact):
    """Somebody lets it be that `found` runs there, until `until` (microseconds)."""

    found: str
    reason: str
    until: int


@dataclass(frozen=True, kw_only=True)
class DriftWithdrawn(LaneFact):
    """Somebody does not let the difference be any longer."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class EnvironmentHealthChanged(Fact):
    """A service is not any more what it was, by what `probe` found; `status` and `was` are the environment's.

    `because` is what the probe depends on, where that failed too. A status of the environment is one of the
    specification's; that of a service is also `unknown`.
    """

    about: ClassVar[str] = "environment"

    environment: str
    service: str
    status: str
    was: str
    service_status: str
    service_was: str
    probe: str | None = None
    message: str | None = None
    because: str | None = None
    deployment: str | None = None
    number: int | None = None
    """The deployment that had begun shortly before the service became worse."""
