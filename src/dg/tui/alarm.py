"""Calls whoever looks elsewhere: the terminal's bell, or its notice, when something is newly critical."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dg.core.text import plain
from dg.tui.views import PRODUCTION, FactView

PAUSE = 10.0
"""Seconds in which it calls at most once."""
LONGEST = 120
"""Characters of a notice."""
ALWAYS = frozenset({"rollback.declined", "backup.failed", "backup.test_failed"})


class Alarm:
    """`how` is `off`, `sound` (BEL) or `notice` (OSC 9, which the terminal shows on the desktop).

    `write` takes what goes to the terminal.
    """

    def __init__(self, how: str, write: Callable[[str], object], monotonic: Callable[[], float]) -> None:
        self._how, self._write, self._monotonic = how, write, monotonic
        self._seen: int | None = None
        self._rung = -PAUSE
        self._untold = 0

    def heed(self, facts: Iterable[FactView]) -> None:
        """Call for what is critical among facts that were not there before; for the first ones never."""
        fresh = [fact for fact in facts if self._seen is not None and fact.seq > self._seen]
        self._seen = max((fact.seq for fact in facts), default=self._seen or 0)
        found = [fact for fact in fresh if critical(fact)]
        if not found or self._how == "off":
            return
        now = self._monotonic()
        if now - self._rung < PAUSE:
            self._untold += len(found)
            return
        self._rung = now
        self._write("\x07" if self._how == "sound" else self._notice(found))
        self._untold = 0

    def _notice(self, found: list[FactView]) -> str:
        last = found[-1]
        where = "/".join(filter(None, (last.service, last.environment)))
        number = f" #{last.number}" if last.number else ""
        others = len(found) - 1 + self._untold
        more = f", and {others} more" if others else ""
        said = plain(f"dg: {where}{number} {last.said}{more}", limit=LONGEST)
        return f"\x1b]9;{said}\x07"


def critical(fact: FactView) -> bool:
    """Whether a person should look now: a service is down, production did not get what it should have."""
    match fact.type:
        case "environment.health_changed":
            return fact.ink == "err"
        case "deployment.finished":
            return fact.environment == PRODUCTION and fact.said.startswith("failed")
        case kind:
            return kind in ALWAYS
