"""The table `[environments]`: what the three of them demand of deployments."""

from __future__ import annotations

from typing import Any, Literal

from dg.settings.section import Section
from dg.settings.units import Duration, ListOf, TableOf, Words


class EnvironmentSettings(Section):
    """One environment."""

    protected: bool = False
    """Takes only commits that the pipeline's protected branch contains."""
    approvals: TableOf | None = None
    """Who must agree to a deployment before it starts: `{ count = 1, from = ["role:approver"] }`."""
    requires: Words = ()
    """Environments in which the same commit must have gone well before."""
    soak: Duration | None = None
    """How long it must have been well there."""
    keys_of: Words = ()
    """Environments of which every key, settings and secrets alike, must be set here too."""
    windows: ListOf = ()
    """When deployments may start: `[{ deny = "0 17 * * FRI", for = "63h", tz = "Europe/Berlin" }]`."""
    queue: Literal["all", "latest", "reject"] = "all"
    """What becomes of those who wait: each has its turn, only the newest has one, or nobody may wait."""
    gates: ListOf = ()
    """Expressions over what is known of a deployment, all of which must be true."""

    def demands(self) -> dict[str, Any]:
        """What is demanded of every deployment there, as a pipeline's `[env.NAME]` writes it."""
        return self.model_dump(exclude={"protected"}, exclude_defaults=True)


class Environments(Section):
    """The three environments; they always exist."""

    development: EnvironmentSettings = EnvironmentSettings()
    """Where a change is tried first."""
    staging: EnvironmentSettings = EnvironmentSettings()
    """Where a release is checked."""
    production: EnvironmentSettings = EnvironmentSettings(protected=True)
    """Where the users are."""

    def named(self, name: str) -> EnvironmentSettings:
        """The settings of one environment. Raises KeyError."""
        if name not in type(self).model_fields:
            raise KeyError(name)
        section: EnvironmentSettings = getattr(self, name)
        return section
