"""The tables `[probes]` and `[status_page]`: how health is asked for, and what the public sees of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dg.settings.section import Section
from dg.settings.units import Duration, Tables


class Probes(Section):
    """Probes of the environments' health. See `docs/health.md`."""

    concurrency: int = Field(256, ge=1, le=10_000)
    """Probes of one environment that are asked at the same time; the others wait."""
    commands: int = Field(0, ge=0, le=1000)
    """Commands among them that run at the same time. They run as the server's user, whoever may configure an
    environment: 0 refuses them."""
    suspect_within: Duration = 900.0
    """How long after its start a deployment is suspected when its service becomes worse."""
    keep_results: Duration = 2 * 3600.0
    """How long the result of each single try is kept."""
    keep_minutes: Duration = 3 * 86400.0
    """How long the results of each minute are kept together."""
    keep_hours: Duration = 90 * 86400.0
    """How long those of each hour are."""
    keep_days: Duration = 3 * 365 * 86400.0
    """How long those of each day are."""


class PublicService(Section):
    """A service that the public may see."""

    service: str = Field(min_length=1, max_length=63)
    """Which one, as probes name it."""
    environment: Literal["development", "staging", "production"] = "production"
    """Where."""
    name: str | None = Field(None, min_length=1, max_length=100)
    """What the public calls it; the table's own name when left out."""


class StatusPage(Section):
    """What `dg status-page` shows to the public. See `docs/health.md`."""

    title: str = Field("Status", min_length=1, max_length=100)
    """What stands above it."""
    services: Tables[PublicService] = Field({})
    """The services on it, in this order, a table for each: `[status_page.services.shop]`. Nothing else is
    shown, and without any there is no page."""
