"""Faults by script: what goes wrong next, how often, and for which method."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal[
    "down",
    "slow",
    "ratelimited",
    "reset",
    "status",
    "error",
    "dead_tickets",
    "slow_handshake",
    "duplicate",
    "skew",
    "forged",
    "lost",
]
MOST = 1_000


class Fault(BaseModel):
    """One thing that goes wrong.

    Web API, for `method` (a name or a pattern such as `chat.*`):

    - `down`: the connection is reset before the call is looked at.
    - `slow`: the answer comes `seconds` later.
    - `ratelimited`: 429 with `Retry-After: seconds`.
    - `reset`, `status`, `error`: the connection is reset, an HTTP `status`, or Slack's word `error` instead
      of an answer; with `applied` after the call took effect.

    Socket Mode: `dead_tickets` refuses every handshake, `slow_handshake` lets it take `seconds`.

    Deliveries to the app, for `method` = `slash_commands`, `interactive` or `events_api`: `duplicate` sends
    twice, `skew` shifts the signed time by `seconds`, `forged` signs with another secret, `lost` sends
    nothing and times out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    method: Annotated[str, Field(min_length=1, max_length=64)] = "*"
    times: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """How often; until it is cleared when not given."""

    seconds: Annotated[float, Field(ge=-1_000_000, le=1_000_000, allow_inf_nan=False)] = 1.0
    status: Annotated[int, Field(ge=400, le=599)] = 500
    error: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")] = "fatal_error"
    applied: bool = False


@dataclass
class Armed:
    fault: Fault
    left: int | None


class Faults:
    """The script: of those that fit, the first added happens."""

    def __init__(self) -> None:
        self._armed: list[Armed] = []

    def add(self, fault: Fault) -> None:
        """Raises ValueError when there are too many."""
        if len(self._armed) >= MOST:
            raise ValueError(f"no more than {MOST:,} faults at once")
        self._armed.append(Armed(fault, fault.times))

    def clear(self, kind: Kind | None = None) -> None:
        """Let everything go well again, or what is of one kind."""
        self._armed = [each for each in self._armed if kind is not None and each.fault.kind != kind]

    def armed(self) -> list[Armed]:
        """What may still happen."""
        return list(self._armed)

    def take(self, method: str, *kinds: Kind) -> Fault | None:
        """The fault of these kinds that happens to a method now, which counts."""
        for each in self._armed:
            if each.fault.kind in kinds and fnmatchcase(method, each.fault.method):
                if each.left is not None:
                    each.left -= 1
                    if each.left == 0:
                        self._armed.remove(each)
                return each.fault
        return None
