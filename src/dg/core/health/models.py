"""How services are: what one try of a probe found, what is believed of it by now, and what is shown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from dg.core.types import Environment

__all__ = [
    "Beat",
    "EnvironmentHealth",
    "HealthHistory",
    "Outcome",
    "ProbeList",
    "ProbeState",
    "ProbeTest",
    "Reading",
    "Sample",
    "Series",
    "ServiceHealth",
    "Span",
    "Standing",
    "Status",
    "Suspect",
    "TestProbe",
    "Uptime",
    "Verdict",
    "worst",
]


class Status(StrEnum):
    """What is believed of a probe and of a service. `unknown` is not a sort of healthy, nor of unhealthy."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


Verdict = Literal["healthy", "degraded", "unhealthy"]
"""The specification's words for a whole environment; one of which not all is known is `degraded`."""

_ORDER = (Status.HEALTHY, Status.UNKNOWN, Status.DEGRADED, Status.UNHEALTHY)


def worst(statuses: list[Status]) -> Status:
    """What several are together; nothing at all is unknown."""
    return max(statuses, key=_ORDER.index, default=Status.UNKNOWN)


class Outcome(StrEnum):
    """What one try came to. `unknown`: it could not look, which says nothing about the target."""

    PASSED = "passed"
    SLOW = "slow"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Sample:
    """One try. `took` is seconds, None where there was no answer; `message` says why it did not pass.

    `host` is what was asked where that is not this machine, `silent` that nothing came back from there at
    all: that may be the fault of this side. `facts` are for whoever tests a probe by hand.
    """

    outcome: Outcome
    took: float | None = None
    message: str = ""
    host: str | None = None
    silent: bool = False
    facts: dict[str, Any] | None = None


@dataclass(frozen=True)
class Standing:
    """What is believed of a probe since when (microseconds), and how many tries in a row say otherwise."""

    status: Status = Status.UNKNOWN
    since: int = 0
    against: Status | None = None
    count: int = 0


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Uptime(_Model):
    """The share (0 to 1) of tries that passed, slow ones included; None where none were made. What could not
    be known is not counted."""

    day: float | None = None
    week: float | None = None
    month: float | None = None


class Reading(_Model):
    """How one probe stands. `because` is the probe it depends on whose failure explains its own.

    `response_time` is seconds; times are microseconds.
    """

    name: str
    kind: str
    service: str
    status: Status
    severity: Literal["critical", "warning"]
    since: int | None = None
    last_checked: int | None = None
    response_time: float | None = None
    message: str | None = None
    because: str | None = None
    maintenance: bool = False
    depends_on: tuple[str, ...] = ()
    uptime: Uptime = Uptime()


class ProbeState(Reading):
    """A reading, and what was asked for: the definition as it stands in the environment's document."""

    definition: dict[str, Any]


class ProbeList(_Model):
    """The probes of an environment, by name."""

    items: tuple[ProbeState, ...]


class Suspect(_Model):
    """A deployment that had begun shortly before a service became worse."""

    deployment: str
    number: int


class ServiceHealth(_Model):
    """The worst of a service's probes, and the slowest of their answers (seconds).

    `suspect` may be why it is not healthy.
    """

    name: str
    status: Status
    response_time: float | None = None
    last_checked: int | None = None
    since: int | None = None
    message: str | None = None
    suspect: Suspect | None = None
    uptime: Uptime = Uptime()
    readings: tuple[Reading, ...] = ()


class EnvironmentHealth(_Model):
    """The specification's answer, with what stands beside it. `known` is false while something is unknown."""

    name: Environment
    status: Verdict
    known: bool
    message: str
    since: int | None = None
    uptime: Uptime = Uptime()
    services: tuple[ServiceHealth, ...] = ()


class Span(_Model):
    """Tries of one probe from `at` on, for as long as the step of its series; seconds of their answers."""

    at: int
    passed: int = 0
    slow: int = 0
    failed: int = 0
    unknown: int = 0
    response_time: float | None = None
    slowest: float | None = None


class Series(_Model):
    """One probe over time, oldest first; spans without a try are left out."""

    probe: str
    service: str
    spans: tuple[Span, ...]


class HealthHistory(_Model):
    """Series from `since` to `until`; `step` is the length of a span in seconds."""

    since: int
    until: int
    step: float
    items: tuple[Series, ...]


class TestProbe(_Model):
    """A try that somebody asks for: of `definition`, or of what is configured."""

    __test__ = False

    definition: dict[str, Any] | None = None


class ProbeTest(_Model):
    """What one try found; nothing of it is kept. `facts` are the details: address, state, certificate."""

    outcome: Outcome
    status: Status
    message: str
    response_time: float | None = None
    facts: dict[str, Any]


class Beat(_Model):
    """A sign of life, or of trouble with its reason."""

    ok: bool = True
    message: str | None = None
