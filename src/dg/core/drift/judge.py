"""What becomes of a finding when a check has spoken, and how it is said."""

from __future__ import annotations

import re
from typing import NamedTuple

from dg.core.clock import to_datetime
from dg.core.drift.models import Deployed, DriftStatus, Finding, Lane, Reading, ServiceDrift
from dg.core.events import DriftFound, DriftResolved, LaneFact
from dg.core.types import Environment

_SHORTENED = re.compile(r"[0-9a-f]{7,40}")
_NOTHING_DEPLOYED = "dg deployed nothing there yet"
_UNSURE = "a deployment failed halfway, so dg does not know what should run there"


class Judged(NamedTuple):
    """A finding, and what is news about it."""

    finding: Finding
    fact: LaneFact | None = None


def judge(
    place: tuple[str, Environment], before: Finding | None, lane: Lane, reading: Reading, now: int
) -> Judged:
    """What is known of the service and environment `place` after a check at `now` (microseconds).

    A difference is drift when two checks in a row saw the same one with nothing under way: what a check sees
    right after a deployment may still be an old process that is going.
    """
    known = (before or Finding(checked_at=now)).model_copy(update={"checked_at": now, "problem": None})
    if lane.busy:
        return Judged(known.model_copy(update={"suspected": None}))
    deployed, found = lane.deployed, reading.found
    if deployed is None or found is None:
        problem = reading.problem or (_NOTHING_DEPLOYED if lane.known else _UNSURE)
        return Judged(known.model_copy(update={"suspected": None, "problem": problem}))
    if is_named(deployed, found):
        return _same(place, known, deployed, found)
    return _other(place, known, deployed, found)


def is_named(deployed: Deployed, found: str) -> bool:
    """Whether `found` names that version: as it is called, with or without a `v`, or by its commit."""
    if found.removeprefix("v") == deployed.version.removeprefix("v"):
        return True
    commit = found.lower()
    return bool(_SHORTENED.fullmatch(commit)) and deployed.commit_sha.startswith(commit)


def dropped(place: tuple[str, Environment], finding: Finding) -> LaneFact | None:
    """What is news when nothing checks the service any more."""
    return _resolved(place, None) if finding.drifted else None


def _same(place: tuple[str, Environment], known: Finding, deployed: Deployed, found: str) -> Judged:
    stands = not known.drifted and known.deployed == deployed
    since = known.since if stands else known.checked_at
    after = Finding(checked_at=known.checked_at, found=found, deployed=deployed, since=since)
    return Judged(after, _resolved(place, found) if known.drifted else None)


def _other(place: tuple[str, Environment], known: Finding, deployed: Deployed, found: str) -> Judged:
    now = known.checked_at
    if known.drifted and (known.found, known.deployed) == (found, deployed):
        return _still(place, known, deployed, found)
    if known.suspected != (deployed.deployment, found):
        return Judged(known.model_copy(update={"suspected": (deployed.deployment, found)}))
    after = Finding(checked_at=now, drifted=True, found=found, deployed=deployed, since=now)
    return Judged(after, _found(place, deployed, found))


def _still(place: tuple[str, Environment], known: Finding, deployed: Deployed, found: str) -> Judged:
    known = known.model_copy(update={"suspected": None})
    if known.acceptance is None or known.accepted(known.checked_at):
        return Judged(known)
    fact = _found(place, deployed, found, expired=True)
    return Judged(known.model_copy(update={"acceptance": None}), fact)


def _found(
    place: tuple[str, Environment], deployed: Deployed, found: str, *, expired: bool = False
) -> DriftFound:
    service, environment = place
    return DriftFound(
        service=service,
        environment=environment.value,
        deployment=deployed.deployment,
        version=deployed.version,
        commit=deployed.commit_sha,
        found=found,
        expired=expired or None,
    )


def _resolved(place: tuple[str, Environment], found: str | None) -> DriftResolved:
    service, environment = place
    return DriftResolved(service=service, environment=environment.value, found=found)


def shown(place: tuple[str, Environment], finding: Finding | None, lane: Lane, now: int) -> ServiceDrift:
    """A finding as people see it."""
    service, environment = place
    if finding is None:
        sentence = f"{service} in {environment} was not checked yet"
        return ServiceDrift(
            service=service, environment=environment, status=DriftStatus.UNKNOWN, sentence=sentence
        )
    status = _status(finding, now)
    sentence = _sentence(service, environment, finding, status)
    if lane.busy:
        sentence += "; a deployment is under way"
    return ServiceDrift(
        service=service,
        environment=environment,
        status=status,
        sentence=sentence,
        found=finding.found,
        deployed=finding.deployed,
        since=finding.since,
        checked_at=finding.checked_at,
        acceptance=finding.acceptance if status is DriftStatus.ACCEPTED else None,
    )


def _status(finding: Finding, now: int) -> DriftStatus:
    if finding.problem is not None or finding.deployed is None:
        return DriftStatus.UNKNOWN
    if not finding.drifted:
        return DriftStatus.SAME
    return DriftStatus.ACCEPTED if finding.accepted(now) else DriftStatus.DRIFTED


def _sentence(service: str, environment: Environment, finding: Finding, status: DriftStatus) -> str:
    deployed = finding.deployed
    if status is DriftStatus.UNKNOWN or deployed is None:
        return (
            f"what runs of {service} in {environment} is unknown: {finding.problem or 'it was not seen yet'}"
        )
    named = f"{deployed.version} ({deployed.commit_sha[:7]}, #{deployed.number})"
    if status is DriftStatus.SAME:
        return f"{service} in {environment} runs {named}, as dg deployed it"
    sentence = f"{service} in {environment} runs {finding.found}, but dg deployed {named}"
    acceptance = finding.acceptance
    if status is DriftStatus.DRIFTED or acceptance is None:
        return sentence
    who = acceptance.by_name or acceptance.by
    return (
        f"{sentence}; {who} accepted that until {to_datetime(acceptance.until):%Y-%m-%d %H:%M} UTC: "
        f"{acceptance.reason}"
    )
