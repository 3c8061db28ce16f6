"""Counts refused tries, so that each kind reaches the ledger once a minute however often it is repeated."""

from __future__ import annotations

from dataclasses import dataclass, field

from dg.core.access.models import Action, Principal
from dg.core.database import Tx
from dg.core.events import AccessDenied, AuthenticationFailed

MINUTE = 60.0
_MOST = 10_000
"""Kinds kept apart; beyond, tries are counted without their object, so that nobody fills the memory."""

NOBODY = Principal(id="anonymous", name="anonymous", kind="system", method="system")


@dataclass(frozen=True)
class Denial:
    """One kind of refused try, with whoever tried first. Without an action nobody in particular showed a bad
    credential."""

    principal: Principal = field(default=NOBODY, compare=False)
    action: Action | None = None
    environment: str | None = None
    service: str | None = None
    who: str = field(init=False)

    def __post_init__(self) -> None:
        # Not by the principal, who is another at each request: it comes from there.
        object.__setattr__(self, "who", self.principal.id)

    def append(self, tx: Tx, count: int) -> None:
        if self.action is None:
            tx.append(AuthenticationFailed(count=count), self.principal)
        else:
            tx.append(
                AccessDenied(
                    action=self.action, count=count, environment=self.environment, service=self.service
                ),
                self.principal,
            )


@dataclass
class _Tally:
    since: float
    waiting: int = 0


class Denials:
    """The tallies of one server."""

    def __init__(self) -> None:
        self._tallies: dict[Denial, _Tally] = {}

    def count(self, denial: Denial, now: float) -> Denial | None:
        """Count a try at monotonic `now`; returns what is to be recorded at once: the first of its minute."""
        if len(self._tallies) >= _MOST and denial not in self._tallies:
            denial = Denial(denial.principal, denial.action)
        tally = self._tallies.get(denial)
        if tally is None:
            self._tallies[denial] = _Tally(now)
            return denial
        tally.waiting += 1
        return None

    def put_back(self, denial: Denial, count: int) -> None:
        """Count tries again that could not be recorded."""
        self._tallies.setdefault(denial, _Tally(0.0)).waiting += count

    def take(self, now: float) -> list[tuple[Denial, int]]:
        """The repeats since the last call; forgets what was not repeated for a minute."""
        taken = [(denial, tally.waiting) for denial, tally in self._tallies.items() if tally.waiting]
        over = [
            denial
            for denial, tally in self._tallies.items()
            if not tally.waiting and now - tally.since >= MINUTE
        ]
        for denial in over:
            del self._tallies[denial]
        for denial, _ in taken:
            self._tallies[denial].waiting = 0
        return taken
