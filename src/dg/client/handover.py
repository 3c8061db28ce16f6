"""What whoever comes on call next has to know: one summary of a shift, made of what the client reads.

`gather` reads, `summarize` is a pure function of what was read; `dg.client.markdown` writes it down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict

from dg.client.models import Event
from dg.core.clock import SECOND
from dg.core.deployments.models import FINAL, Deployment, Freeze, Lane, Page, Status
from dg.core.drift.models import DriftStatus, ServiceDrift
from dg.core.environments.models import SecretUse
from dg.core.errors import Forbidden, NotFound
from dg.core.health.models import EnvironmentHealth
from dg.core.health.models import Status as Health
from dg.core.types import Environment

if TYPE_CHECKING:
    from dg.client.app import Client

T = TypeVar("T")
U = TypeVar("U")

MOST_PAGES = 5
"""Pages of deployments, and of facts, that are read of one shift."""
_PAGE = 200
_FACTS = 1000
MOST_ALONE = 50
"""Deployments that were asked for before the shift and ended in it, which are read one by one."""
_DAY = 86_400
_ENDED = ("deployment.finished", "deployment.rolled_back")
_TYPES = (*_ENDED, "environment.health_changed", "backup.failed", "backup.test_failed")
_UNFINISHED = "status=pending,building,deploying"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class ClosedLane(_Model):
    """A lane that takes nothing new until then (microseconds); `sentence` says why, and who opens it."""

    service: str
    environment: Environment
    state: str
    sentence: str
    until: int | None = None


class Delivery(_Model):
    """One deployment that was asked for, ended or went on in the shift, or was `undone_by` a later one."""

    id: str
    number: int
    service: str
    environment: Environment
    kind: str
    version: str
    status: Status
    by: str
    created_at: int
    completed_at: int | None = None
    message: str | None = None
    undone_by: int | None = None


class Awaited(_Model):
    """A deployment that a person has to agree to, which ends at `expires_at` (microseconds) without it."""

    id: str
    number: int
    service: str
    environment: Environment
    version: str
    by: str
    sentence: str
    expires_at: int | None = None


class HealthChange(_Model):
    """A service became another than it was; `number` is the deployment that had begun shortly before."""

    at: int
    service: str
    environment: Environment
    status: Health
    was: Health
    message: str | None = None
    number: int | None = None


class Unwell(_Model):
    """A service that is not healthy now."""

    service: str
    environment: Environment
    status: Health
    since: int | None = None
    message: str | None = None
    number: int | None = None


class FailedBackup(_Model):
    """A backup that was not made, or did not come back when it was tried; None is one of the whole home."""

    at: int
    environment: Environment | None = None
    tested: bool
    reason: str


class AgedSecret(_Model):
    """A secret that was set longer ago than secrets should last."""

    environment: Environment
    name: str
    days: int


class Handover(_Model):
    """A shift from `since` to `until` (microseconds), written for whoever comes next by `by`.

    `unread` says by section what the writer could not read, and why; `left_out` how much more there was.
    """

    since: int
    until: int
    by: str
    unwell: tuple[Unwell, ...] = ()
    closed: tuple[ClosedLane, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    waiting: tuple[Awaited, ...] = ()
    deployments: tuple[Delivery, ...] = ()
    health: tuple[HealthChange, ...] = ()
    drift: tuple[ServiceDrift, ...] = ()
    backups: tuple[FailedBackup, ...] = ()
    secrets: tuple[AgedSecret, ...] = ()
    unread: dict[str, str] = {}
    left_out: dict[str, str] = {}


@dataclass
class Seen:
    """What the client read; `deployments` by id."""

    by: str = ""
    lanes: Sequence[Lane] = ()
    freezes: Sequence[Freeze] = ()
    deployments: dict[str, Deployment] = field(default_factory=dict)
    facts: Sequence[Event] = ()
    health: dict[Environment, EnvironmentHealth] = field(default_factory=dict)
    drift: dict[Environment, Sequence[ServiceDrift]] = field(default_factory=dict)
    secrets: dict[Environment, Sequence[SecretUse]] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


async def gather(client: Client, since: int, now: int) -> Handover:
    """The shift from `since` to `now` (microseconds), as far as the caller may see it.

    What is read is bounded. Raises what the client raises, but for a refusal of one part, which is told.
    """
    seen, age = Seen(by=(await client.whoami()).name), max(1, -(-(now - since) // SECOND))
    await asyncio.gather(
        _lanes(client, seen),
        _happened(client, seen, age),
        *(_place(client, seen, each) for each in Environment),
    )
    return summarize(seen, since, now)


def summarize(seen: Seen, since: int, until: int) -> Handover:
    """The summary of what was read: the newest first, what is bad before what was."""
    undone = {
        str(each.payload["deployment"]): int(each.payload["undone_by"])
        for each in _of(seen.facts, "deployment.rolled_back")
        if "undone_by" in each.payload  # older facts have no number
    }
    return Handover(
        since=since,
        until=until,
        by=seen.by,
        unwell=tuple(_unwell(seen.health.values())),
        closed=tuple(_closed(each) for each in seen.lanes if each.state.closed),
        freezes=tuple(sorted(seen.freezes, key=lambda each: each.until)),
        waiting=tuple(_awaited(each) for each in _newest(seen.deployments) if _waits(each)),
        deployments=tuple(_delivery(each, undone.get(each.id)) for each in _newest(seen.deployments)),
        health=tuple(_change(each) for each in _of(seen.facts, "environment.health_changed")),
        drift=tuple(each for found in seen.drift.values() for each in found if _differs(each)),
        backups=tuple(_failed(each) for each in _of(seen.facts, "backup.failed", "backup.test_failed")),
        secrets=tuple(
            _aged(name, each) for name, found in seen.secrets.items() for each in found if each.old
        ),
        unread=dict(sorted(seen.unread.items())),
        left_out=dict(sorted(seen.left_out.items())),
    )


# Reading


async def _take(seen: Seen, section: str, ask: Awaitable[T], otherwise: U) -> T | U:
    """The answer, or `otherwise` where the caller may not have it, which is told."""
    try:
        return await ask
    except (Forbidden, NotFound) as problem:
        seen.unread[section] = problem.message
        return otherwise


async def _lanes(client: Client, seen: Seen) -> None:
    seen.lanes = await _take(seen, "lanes", client.lanes.list(), ())
    seen.freezes = await _take(seen, "freezes", client.lanes.freezes(), ())


async def _place(client: Client, seen: Seen, name: Environment) -> None:
    """How one environment is."""
    if health := await _take(seen, f"health of {name}", client.health.get(name), None):
        seen.health[name] = health
    seen.drift[name] = await _take(seen, f"drift in {name}", client.environments.drift(name), ())
    seen.secrets[name] = await _take(seen, f"secrets of {name}", client.environments.secrets(name), ())


async def _happened(client: Client, seen: Seen, age: int) -> None:
    """What happened in the last `age` seconds."""
    seen.facts = await _take(seen, "events", _facts(client, seen, age), ())
    for matching in (f"age<={age}s", _UNFINISHED):
        found = await _take(seen, "deployments", _deployments(client, seen, matching), ())
        seen.deployments |= {each.id: each for each in found}
    ended = dict.fromkeys(str(each.payload["deployment"]) for each in _of(seen.facts, *_ENDED))
    missing = [each for each in ended if each not in seen.deployments]
    if len(missing) > MOST_ALONE:
        seen.left_out["deployments"] = f"{len(missing) - MOST_ALONE} that were asked for before"
    for each in missing[:MOST_ALONE]:
        if found_one := await _take(seen, "deployments", client.deployments.get(each), None):
            seen.deployments[each] = found_one


async def _facts(client: Client, seen: Seen, age: int) -> Sequence[Event]:
    found: list[Event] = []
    after = 0
    matching = f"age<={age}s type={','.join(_TYPES)}"
    for _ in range(MOST_PAGES):
        page = await client.events.read(after=after, limit=_FACTS, matching=matching)
        found += page.items
        if len(page.items) < _FACTS:
            return found
        after = page.next_after
    seen.left_out["events"] = f"all after the first {len(found):,}"
    return found


async def _deployments(client: Client, seen: Seen, matching: str) -> Sequence[Deployment]:
    found: list[Deployment] = []
    page: Page[Deployment] | None = None
    for _ in range(MOST_PAGES):
        cursor = page.next_cursor if page else None
        page = await client.deployments.list(matching=matching, cursor=cursor, limit=_PAGE)
        found += page.items
        if page.next_cursor is None:
            return found
    seen.left_out["deployments"] = f"all before the newest {len(found):,}"
    return found


# What it comes to


def _newest(found: dict[str, Deployment]) -> list[Deployment]:
    return sorted(found.values(), key=lambda each: -each.number)


def _of(facts: Iterable[Event], *types: str) -> list[Event]:
    """The facts of these types, the newest first."""
    return [each for each in reversed(list(facts)) if each.type in types]


def _closed(lane: Lane) -> ClosedLane:
    closes = [each.until for each in (lane.freeze, lane.lock) if each]
    return ClosedLane(
        service=lane.service,
        environment=lane.environment,
        state=lane.state.value,
        sentence=lane.sentence,
        until=max(closes, default=None),
    )


def _waits(found: Deployment) -> bool:
    closed = any(gate.name == "approvals" and not gate.open for gate in found.gates or ())
    return closed and found.status is Status.PENDING


def _awaited(found: Deployment) -> Awaited:
    said = next(gate.sentence for gate in found.gates or () if gate.name == "approvals")
    return Awaited(
        id=found.id,
        number=found.number,
        service=found.service,
        environment=found.environment,
        version=found.version,
        by=_by(found),
        sentence=said,
        expires_at=found.expires_at,
    )


def _delivery(found: Deployment, undone_by: int | None) -> Delivery:
    why = found.message or (found.reason.value.replace("_", " ") if found.reason else None)
    return Delivery(
        id=found.id,
        number=found.number,
        service=found.service,
        environment=found.environment,
        kind=found.kind.value,
        version=found.version,
        status=found.status,
        by=_by(found),
        created_at=found.created_at,
        completed_at=found.completed_at,
        message=why if found.status in FINAL else found.hold,
        undone_by=undone_by,
    )


def _by(found: Deployment) -> str:
    return found.created_by_name or found.created_by


def _unwell(found: Iterable[EnvironmentHealth]) -> Iterable[Unwell]:
    for health in found:
        for each in health.services:
            if each.status is not Health.HEALTHY:
                yield Unwell(
                    service=each.name,
                    environment=health.name,
                    status=each.status,
                    since=each.since,
                    message=each.message,
                    number=each.suspect.number if each.suspect else None,
                )


def _change(fact: Event) -> HealthChange:
    told = fact.payload
    return HealthChange(
        at=fact.at,
        service=told["service"],
        environment=told["environment"],
        status=told["service_status"],
        was=told["service_was"],
        message=told.get("message"),
        number=told.get("number"),
    )


def _failed(fact: Event) -> FailedBackup:
    return FailedBackup(
        at=fact.at,
        environment=fact.payload.get("environment"),
        tested=fact.type == "backup.test_failed",
        reason=fact.payload["reason"],
    )


def _differs(found: ServiceDrift) -> bool:
    return found.status in (DriftStatus.DRIFTED, DriftStatus.ACCEPTED)


def _aged(name: Environment, found: SecretUse) -> AgedSecret:
    return AgedSecret(environment=name, name=found.name, days=found.age // _DAY)
