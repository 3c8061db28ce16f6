"""The four figures of delivery (DORA) as pure functions of what happened; docs/dora.md has the definitions.

Times are integer microseconds since the epoch (UTC), durations seconds. Each figure keeps the rows behind it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from pydantic import BaseModel, ConfigDict

from dg.core.clock import SECOND
from dg.core.deployments.models import Kind, Reason, Status
from dg.core.types import Environment

_DAY = 86_400.0
_WEEK = 7


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


@dataclass(frozen=True, slots=True)
class Happened:
    """A deployment that ended: what the figures need of it.

    `succeeded` says how it ended, also when it was rolled back later (`undone`). `rollback_of` is what a
    rollback was asked against.
    """

    id: str
    service: str
    environment: str
    kind: Kind
    commit: str
    succeeded: bool
    touched: bool
    undone: bool
    created_at: int
    completed_at: int
    rollback_of: str | None = None

    @property
    def lane(self) -> tuple[str, str]:
        return self.service, self.environment


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit as git keeps it; `at` is the committer's time."""

    sha: str
    at: int
    parents: tuple[str, ...]


class Frequency(_Model):
    """Successful deployments; `rows` are their ids."""

    deployments: int
    per_day: float
    per_week: float
    rows: tuple[str, ...] | None = None


class Delivered(_Model):
    """A commit, the deployment that brought it first, and how long that took after it was committed."""

    deployment: str
    commit: str
    committed_at: int
    seconds: float


class LeadTime(_Model):
    """From a commit to the success of the deployment that brought it first; `unknown`: git has it no more."""

    commits: int
    deployments: int
    median: float | None = None
    p90: float | None = None
    unknown: tuple[str, ...] = ()
    rows: tuple[Delivered, ...] | None = None


class Attempt(_Model):
    """A deployment that touched its environment, and whether it failed or was rolled back."""

    deployment: str
    failed: bool


class ChangeFailure(_Model):
    """The share of deployments that failed after touching their environment, or were rolled back."""

    deployments: int
    failures: int
    rate: float | None = None
    rows: tuple[Attempt, ...] | None = None


class Incident(_Model):
    """A lane that was bad, since `deployment`, until `recovered_by` succeeded; without that it still is."""

    service: str
    environment: Environment
    deployment: str
    began_at: int
    recovered_by: str | None = None
    recovered_at: int | None = None
    seconds: float | None = None


class Recovery(_Model):
    """From the moment a lane went bad to its next good state; `open` of the incidents have none yet."""

    incidents: int
    open: int
    median: float | None = None
    p90: float | None = None
    rows: tuple[Incident, ...] | None = None


class Outcome(_Model):
    """How many deployments of one kind ended in one way in one lane."""

    service: str
    environment: Environment
    kind: Kind
    status: Status
    reason: Reason | None = None
    count: int


class DoraFigures(_Model):
    """The four figures of one environment over the time after `since`, `until` included."""

    since: int
    until: int
    environment: Environment
    service: str | None = None
    frequency: Frequency
    lead_time: LeadTime
    change_failure: ChangeFailure
    recovery: Recovery

    def without_rows(self) -> DoraFigures:
        """The figures alone."""
        parts = ("frequency", "lead_time", "change_failure", "recovery")
        bare = {name: getattr(self, name).model_copy(update={"rows": None}) for name in parts}
        return self.model_copy(update=bare)


def within(history: Iterable[Happened], since: int, until: int) -> list[Happened]:
    """The deployments (no redeploy, no rollback) that ended after `since`, `until` included."""
    return [each for each in history if each.kind is Kind.DEPLOY and since < each.completed_at <= until]


def frequency(deploys: Sequence[Happened], since: int, until: int) -> Frequency:
    """How often a deployment succeeded, whatever became of it later."""
    rows = tuple(each.id for each in deploys if each.succeeded)
    days = (until - since) / SECOND / _DAY
    return Frequency(
        deployments=len(rows), per_day=len(rows) / days, per_week=len(rows) / days * _WEEK, rows=rows
    )


def lead_time(deploys: Sequence[Happened], brought: Mapping[str, Collection[Commit] | None]) -> LeadTime:
    """`brought`: the commits that each deployment brought first by its id; None where git does not know."""
    rows = tuple(
        Delivered(
            deployment=each.id,
            commit=commit.sha,
            committed_at=commit.at,
            seconds=max(0.0, (each.completed_at - commit.at) / SECOND),
        )
        for each in deploys
        for commit in brought.get(each.id) or ()
    )
    seconds = [row.seconds for row in rows]
    return LeadTime(
        commits=len(rows),
        deployments=len({row.deployment for row in rows}),
        median=percentile(seconds, 50),
        p90=percentile(seconds, 90),
        unknown=tuple(each.id for each in deploys if brought.get(each.id, ()) is None),
        rows=rows,
    )


def change_failure(deploys: Sequence[Happened]) -> ChangeFailure:
    """Each deployment counts once, however often it was retried or rolled back."""
    rows = tuple(
        Attempt(deployment=each.id, failed=each.undone or not each.succeeded)
        for each in deploys
        if each.touched
    )
    failures = sum(row.failed for row in rows)
    rate = failures / len(rows) if rows else None
    return ChangeFailure(deployments=len(rows), failures=failures, rate=rate, rows=rows)


def recovery(history: Sequence[Happened], since: int, until: int) -> Recovery:
    """The incidents that began in the window; several failures in a row are one."""
    lanes = groupby(sorted(history, key=attrgetter("lane")), key=attrgetter("lane"))
    found = [incident for _, lane in lanes for incident in _incidents(tuple(lane))]
    rows = tuple(
        sorted((row for row in found if since < row.began_at <= until), key=lambda row: row.began_at)
    )
    seconds = [row.seconds for row in rows if row.seconds is not None]
    return Recovery(
        incidents=len(rows),
        open=len(rows) - len(seconds),
        median=percentile(seconds, 50),
        p90=percentile(seconds, 90),
        rows=rows,
    )


def _incidents(lane: Sequence[Happened]) -> Iterator[Incident]:
    bad = None
    for at, good, each in sorted(_turns(lane), key=lambda turn: turn[:2]):
        if not good:
            bad = bad or _begun(each, at)
        elif bad is not None:
            seconds = (at - bad.began_at) / SECOND
            yield bad.model_copy(update={"recovered_by": each.id, "recovered_at": at, "seconds": seconds})
            bad = None
    if bad is not None:
        yield bad


def _turns(lane: Sequence[Happened]) -> Iterator[tuple[int, bool, Happened]]:
    """When a lane turned bad or good, and by which deployment."""
    by_id = {each.id: each for each in lane}
    for each in lane:
        if each.succeeded:
            yield each.completed_at, True, each
        elif each.touched:
            yield each.completed_at, False, each
        if each.kind is Kind.ROLLBACK and (each.succeeded or each.touched):
            # What ran was bad from the moment at which somebody wanted it gone.
            yield each.created_at, False, by_id.get(each.rollback_of or "", each)


def _begun(bad: Happened, at: int) -> Incident:
    return Incident(
        service=bad.service,
        environment=Environment(bad.environment),
        deployment=bad.id,
        began_at=at,
    )


def percentile(values: Iterable[float], percent: int) -> float | None:
    """The nearest-rank percentile: the least value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[math.ceil(len(ordered) * percent / 100) - 1] if ordered else None


def first_brought(head: str, graph: Mapping[str, Commit], seen: set[str]) -> list[Commit]:
    """The commits of `graph` that `head` leads to and nobody had `seen`, which they are from now on."""
    found, open_ends = [], [head]
    while open_ends:
        sha = open_ends.pop()
        if sha in graph and sha not in seen:
            seen.add(sha)
            found.append(graph[sha])
            open_ends.extend(graph[sha].parents)
    return found
