"""How probes stand, for deployments that ask it: satisfies what `core/deployments/` needs of health."""

from __future__ import annotations

from collections.abc import Mapping

from dg.core.health.models import Status
from dg.core.health.watch import Watch
from dg.core.types import Environment
from dg.runner.standings import Standing


class Standings:
    """The probes of environments as the watch sees them now."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def names(self, environment: Environment) -> frozenset[str]:
        """The probes that the environment has."""
        return frozenset(self._watch.watched(environment))

    def standings(self, environment: Environment) -> Mapping[str, Standing]:
        """How each of them stands, by name."""
        found = {}
        for name, watched in self._watch.watched(environment).items():
            status, message = self._watch.status(watched)
            kept = watched.kept
            # Thresholds let it count as healthy, but its last try was not good.
            doubted = status is Status.HEALTHY and kept.standing.against is not None
            found[name] = Standing(
                status="doubted" if doubted else status.value,
                since=kept.standing.since,
                checked=kept.last_checked or 0,
                detail=message or "",
            )
        return found
