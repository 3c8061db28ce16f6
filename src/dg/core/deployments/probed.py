"""What a run is told of the environment's probes, for steps that ask how what was deployed is doing.

The server that follows a run writes it into the run's folder again and again, and `dg.runner.standings` reads
it: so a runner outlives the server's death, and the next server goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from dg.core.deployments.parts import Parts, Run
from dg.core.errors import Refused
from dg.core.types import Environment
from dg.runner.standings import Standing

log = logging.getLogger(__name__)

_AGAIN = 3.0
"""Seconds after which the same is said again; less than `standings.OLD`."""


class Teller:
    """Tells one run of the probes that it asks for."""

    def __init__(self, parts: Parts, run: Run, environment: Environment, names: frozenset[str]) -> None:
        self._parts = parts
        self._run = run
        self._environment = environment
        self._names = names
        self._said: Mapping[str, Standing] = {}
        self._at: float | None = None

    async def tell(self) -> None:
        """Say how they stand when that is news, or was not said for a while."""
        if not self._names:
            return
        known = self._parts.probes.standings(self._environment)
        standings = {name: known[name] for name in sorted(self._names & known.keys())}
        now = self._parts.clock.monotonic()
        if standings == self._said and self._at is not None and now - self._at < _AGAIN:
            return
        try:
            await self._run.tell(self._parts.clock.micros(), standings)
        except OSError as error:
            # To the run they are unknown then, which is so.
            log.warning("a run is not told how probes stand: %s", error.strerror)
            return
        self._said, self._at = standings, now


def check(parts: Parts, environment: Environment, steps: Sequence[Mapping[str, Any]]) -> None:
    """Raise Refused when a step asks for a probe that the environment does not have."""
    checks = [step["check"] or {} for step in steps]
    wanted = {name for each in checks for name in each.get("probes") or ()}
    if missing := sorted(wanted - parts.probes.names(environment)):
        raise Refused(
            f"{environment} has no probe `{missing[0]}`, which a step asks for; "
            f"set it with `dg probe set {environment} {missing[0]}`",
            reason="missing_probe",
            missing=missing,
        )
