"""What every environment ran at a moment that is over, for those who may see it. Nothing is changed here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dg.core.access.models import SYSTEM, Action, Principal
from dg.core.access.service import Access
from dg.core.clock import Clock, to_datetime
from dg.core.database import Database, Row, Tx
from dg.core.deployments.lanes import closed_by, spoken_time
from dg.core.deployments.models import Freeze, Kind, LaneState, Lock
from dg.core.errors import Invalid, Refused
from dg.core.events import DriftResolved, LaneLocked
from dg.core.health.models import Status
from dg.core.ledger import Entry
from dg.core.past import store
from dg.core.past.models import PastEnvironment, PastHealth, PastLane, Ran, SeenDrift, UnderWay
from dg.core.past.store import Held
from dg.core.types import Environment


@dataclass(frozen=True)
class _Read:
    """What was read of one environment; lanes by their service."""

    recorded_at: int | None
    lost: Entry | None
    services: Sequence[str]
    last: Mapping[str, Row]
    unfinished: Mapping[str, Sequence[Row]]
    held: Mapping[str, Held]
    freezes: Sequence[Entry]
    health: Sequence[Entry]
    version: int

    @property
    def actors(self) -> set[str]:
        """Who locked or froze something, and who had asked for what dg locked a lane after."""
        locks = [each.locked for each in self.held.values() if each.locked]
        asked = (each.payload.get("asked_by") for each in locks)
        return {*(each.actor for each in (*self.freezes, *locks)), *filter(None, asked)}


class Past:
    """Reads for callers. A moment has one answer: what it is made of is never removed."""

    def __init__(self, db: Database, clock: Clock, access: Access) -> None:
        self._db = db
        self._clock = clock
        self._access = access

    async def get(self, principal: Principal, name: Environment, then: int) -> PastEnvironment:
        """An environment as it was at `then` (microseconds), what happened in that very moment included.

        Raises Invalid for the future; Refused for a time of which nothing is known: before the first record,
        and between a backup and the restore of it.
        """
        self._access.require(principal, Action.ENVIRONMENT_READ, name)
        now = self._clock.micros()
        if then > now:
            raise Invalid(
                f"{_moment(then)} has not come yet; here it is {_moment(now)}",
                field="as_of",
                reason="future",
            )
        read = await self._db.read(lambda tx: _read(tx, principal, name, then))
        _check(read, then)
        return _shown(name, then, read, await self._access.names(read.actors))


def _read(tx: Tx, principal: Principal, name: Environment, then: int) -> _Read:
    services = [each for each in store.services(tx, then) if principal.may(Action.LANE_READ, name, each)]
    return _Read(
        recorded_at=store.begin(tx),
        lost=store.lost(tx, then),
        services=services,
        last=store.last(tx, name, then),
        unfinished=store.unfinished(tx, name, then),
        held={each: store.held(tx, each, name, then) for each in services},
        freezes=[each for each in store.freezes(tx, then) if each.payload["until"] > then],
        health=store.health(tx, name, then),
        version=store.version(tx, name, then),
    )


def _check(read: _Read, then: int) -> None:
    """Raises Refused for a moment of which nothing is known: nothing is guessed."""
    if read.recorded_at is None or then < read.recorded_at:
        begins = "has not begun" if read.recorded_at is None else f"begins at {_moment(read.recorded_at)}"
        raise Refused(
            f"nothing is known of {_moment(then)}: the record {begins}",
            field="as_of",
            reason="unrecorded",
        )
    if read.lost is not None:
        begin, end = _moment(read.lost.payload["made_at"]), _moment(read.lost.at)
        raise Refused(
            f"what was between {begin} and {end} is not known: then this home was restored "
            "from a backup that had been made at the beginning",
            field="as_of",
            reason="lost",
        )


def _shown(name: Environment, then: int, read: _Read, names: Mapping[str, str]) -> PastEnvironment:
    newest = read.health[-1] if read.health else None
    return PastEnvironment(
        name=name,
        at=then,
        recorded_at=read.recorded_at or then,
        version=read.version,
        status=newest.payload["status"] if newest else None,
        services=tuple(sorted(map(_health, read.health), key=lambda each: each.service)),
        lanes=tuple(_lane(name, each, then, read, names) for each in read.services),
    )


def _health(told: Entry) -> PastHealth:
    return PastHealth(
        service=told.service or "",
        status=Status(told.payload["service_status"]),
        since=told.at,
        message=told.payload.get("message"),
    )


def _lane(name: Environment, service: str, then: int, read: _Read, names: Mapping[str, str]) -> PastLane:
    last, queue = read.last.get(service), read.unfinished.get(service, ())
    # Whatever succeeded has no reason.
    known = last is None or last["reason"] is None
    current = _ran(last) if last is not None and known else None
    holder = _holder(queue, then)
    lock = _lock(read.held[service].locked, then, names)
    freeze = _freeze(read.freezes, name, service, names)
    state = _state(freeze, lock, holder)
    return PastLane(
        service=service,
        environment=name,
        state=state,
        sentence=_sentence(f"{service}/{name}", then, freeze or lock, holder, current, known=known),
        known=known,
        current=current,
        holder=holder,
        waiting=len(queue) - (holder is not None),
        lock=lock,
        freeze=freeze,
        drift=_drift(read.held[service].drift, last),
    )


def _began(row: Row, then: int) -> bool:
    return row["started_at"] is not None and row["started_at"] <= then


def _ran(row: Row) -> Ran:
    return Ran(
        **{
            each: row[each]
            for each in ("id", "number", "version", "commit_sha", "by", "by_name", "completed_at")
        }
    )


def _holder(queue: Sequence[Row], then: int) -> UnderWay | None:
    """What had started, or the rollback that dg lets nobody overtake."""
    began = (each for each in queue if _began(each, then))
    next_up = (each for each in queue if each["kind"] == Kind.ROLLBACK and each["by"] == SYSTEM.id)
    row = next(began, None) or next(next_up, None)
    return _under_way(row, then) if row else None


def _under_way(row: Row, then: int) -> UnderWay:
    started, deploying = _began(row, then), row["deploying_at"] is not None and row["deploying_at"] <= then
    return UnderWay(
        status="deploying" if deploying else "building" if started else "pending",
        started_at=row["started_at"] if started else None,
        **{each: row[each] for each in ("id", "number", "kind", "version", "commit_sha", "by", "by_name")},
    )


def _lock(said: Entry | None, then: int, names: Mapping[str, str]) -> Lock | None:
    if said is None or said.type != LaneLocked.type or said.payload["until"] <= then:
        return None
    return Lock(
        reason=said.payload["reason"],
        automatic=said.payload["automatic"],
        by=names[said.actor],
        since=said.at,
        until=said.payload["until"],
        asked_by=names.get(said.payload.get("asked_by", "")),
    )


def _freeze(
    found: Iterable[Entry], environment: Environment, service: str, names: Mapping[str, str]
) -> Freeze | None:
    """The one that lasted longest of those that covered the lane."""
    covering = (
        each for each in found if each.environment in (None, environment) and each.service in (None, service)
    )
    said = max(covering, key=lambda each: int(each.payload["until"]), default=None)
    if said is None:
        return None
    return Freeze(
        id=said.object,
        reason=said.payload["reason"],
        by=names[said.actor],
        since=said.at,
        until=said.payload["until"],
        service=said.service,
        environment=Environment(said.environment) if said.environment else None,
    )


def _state(freeze: Freeze | None, lock: Lock | None, holder: UnderWay | None) -> LaneState:
    if freeze:
        return LaneState.FROZEN
    if lock:
        return LaneState.LOCKED
    return LaneState.BUSY if holder else LaneState.OPEN


def _drift(said: Entry | None, last: Row | None) -> SeenDrift | None:
    """Nothing where what was found is older than what dg had deployed by then."""
    if said is None or said.type == DriftResolved.type:
        return None
    if last is not None and said.at < last["completed_at"]:
        return None
    return SeenDrift(found=said.payload["found"], at=said.at)


def _sentence(
    lane: str,
    then: int,
    closed: Freeze | Lock | None,
    holder: UnderWay | None,
    current: Ran | None,
    *,
    known: bool,
) -> str:
    """The lane's one sentence, in the past."""
    if closed is not None:
        how = "frozen" if isinstance(closed, Freeze) else "locked"
        until = spoken_time(closed.until, then)
        return f"{lane} was {how} until {until}: {closed.reason.rstrip(' .')} (by {closed_by(closed, then)})."
    if holder is not None:
        doing = "was rolling back to" if holder.kind == Kind.ROLLBACK else "was deploying"
        since = f" since {spoken_time(holder.started_at, then)}" if holder.started_at else ""
        return f"{lane} was busy: #{holder.number} {doing} {holder.version}{since}."
    if not known:
        return f"{lane} was open, but what ran there was not known: a deployment had failed midway."
    return f"{lane} was open; {current.version if current else 'nothing'} ran there."


def _moment(at: int) -> str:
    moment = to_datetime(at)
    return f"{moment:%Y-%m-%d %H:%M:%S}{f'.{moment.microsecond:06}' if moment.microsecond else ''} UTC"
