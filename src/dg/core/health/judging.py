"""What follows from tries: how a probe stands after one more, and what that makes of a service and of an
environment. Nothing here waits or keeps anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from dg.core.health.models import Outcome, Sample, Standing, Status, Verdict, worst
from dg.core.health.probes import Probe, ancestors

_BAD = {Status.DEGRADED, Status.UNHEALTHY}


def level(probe: Probe, outcome: Outcome) -> Status:
    """What a probe would be if this outcome lasted."""
    match outcome:
        case Outcome.PASSED:
            return Status.HEALTHY
        case Outcome.SLOW:
            return Status.DEGRADED
        case Outcome.FAILED:
            return Status.UNHEALTHY if probe.severity == "critical" else Status.DEGRADED
    return Status.UNKNOWN


def judge(standing: Standing, probe: Probe, sample: Sample, now: int) -> Standing:
    """How the probe stands after one more try, at `now` (microseconds).

    It takes `fail_after` tries in a row to become worse or unknown, `recover_after` to become better; the
    first that passes ends not knowing. Tries that disagree with one another begin the count anew, so that
    flapping changes nothing.
    """
    target = level(probe, sample.outcome)
    if target is standing.status:
        return replace(standing, against=None, count=0)
    count = standing.count + 1 if _agrees(standing, target) else 1
    if count < _needed(standing.status, target, probe):
        return replace(standing, against=target, count=count)
    return Standing(target, now)


def _agrees(standing: Standing, target: Status) -> bool:
    """Whether a try says the same as the ones before it: to which side of what is believed it lies."""
    status, against = standing.status, standing.against
    return against is not None and (
        target is against
        or (target in _BAD and against in _BAD and _is_worse(status, target) == _is_worse(status, against))
    )


def _is_worse(status: Status, target: Status) -> bool:
    return worst([status, target]) is target


def _needed(status: Status, target: Status, probe: Probe) -> int:
    if target is Status.HEALTHY:
        return 1 if status is Status.UNKNOWN else probe.recover_after
    if target is Status.DEGRADED and status is Status.UNHEALTHY:
        return probe.recover_after
    return probe.fail_after


def cause(probes: Mapping[str, Probe], statuses: Mapping[str, Status], name: str) -> str | None:
    """The probe whose failure explains that of `name`: the furthest one up that is not healthy itself."""
    if statuses.get(name) not in {*_BAD, Status.UNKNOWN}:
        return None
    explaining = [each for each in ancestors(probes, name) if statuses.get(each) in _BAD]
    return explaining[-1] if explaining else None


def services(probes: Mapping[str, Probe], statuses: Mapping[str, Status]) -> dict[str, Status]:
    """What each service is: the worst of its probes. One that rests counts as it was when it went to."""
    found: dict[str, list[Status]] = {}
    for name, probe in probes.items():
        found.setdefault(probe.service, []).append(statuses.get(name, Status.UNKNOWN))
    return {service: worst(each) for service, each in found.items()}


def verdict(found: Iterable[Status]) -> Verdict:
    """The specification's word for an environment whose services are those: it has none for not knowing."""
    status = worst(list(found))
    if status is Status.UNHEALTHY:
        return "unhealthy"
    return "healthy" if status is Status.HEALTHY else "degraded"
