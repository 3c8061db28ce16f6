"""How health is kept: what the ledger was told of it with the state, and what probes found with the logs.

Tries are counted into spans as they come: alone, by the minute, by the hour and by the day. So a month of
them stays small, nothing has to be rolled up later, and a clock that is set does no harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict
from sqlalchemy import bindparam

from dg.core import schema
from dg.core.clock import SECOND
from dg.core.database import Row, Shapes, Statement, Tx
from dg.core.health.models import Outcome, Sample, Span, Standing, Status, Suspect, Uptime
from dg.core.types import Environment

ALONE, MINUTE, HOUR, DAY = 0, 60, 3600, 86_400
LEVELS = (ALONE, MINUTE, HOUR, DAY)
"""Lengths of spans in seconds."""

_h = schema.service_health
_p = schema.probe_standings
_s = schema.probe_spans

_COUNTS = ("passed", "slow", "failed", "unknown", "answers", "took")

_TOLD = Statement(sa.select(_h))
_TELL_AGAIN = Statement(
    _h.update()
    .where(_h.c.environment == bindparam("of"), _h.c.service == bindparam("what"))
    .values({name: bindparam(name) for name in ("status", "since", "deployment", "number")})
)
_TELL = Statement(_h.insert())
_FORGET = Statement(_h.delete().where(_h.c.environment == bindparam("of"), _h.c.service == bindparam("what")))
_STANDINGS = Statement(sa.select(_p).order_by(_p.c.id))
_ADD_STANDING = Statement(_p.insert())
_SET_STANDING = Statement(
    _p.update().where(_p.c.id == bindparam("number")).values(standing=bindparam("standing"))
)
_ONE_SPAN = sa.and_(
    _s.c.level == bindparam("length"), _s.c.at == bindparam("begins"), _s.c.probe == bindparam("number")
)
_COUNT = Statement(
    _s.update()
    .where(_ONE_SPAN)
    .values(
        {
            **{name: _s.c[name] + bindparam(f"more_{name}") for name in _COUNTS},
            "slowest": sa.case(
                (_s.c.slowest < bindparam("more_slowest"), bindparam("more_slowest")), else_=_s.c.slowest
            ),
        }
    )
)
_ADD_SPAN = Statement(_s.insert())
_PRUNE = Statement(_s.delete().where(_s.c.level == bindparam("length"), _s.c.at < bindparam("before")))
_UPTIME = Statement(
    sa.select(
        _s.c.probe,
        sa.func.sum(_s.c.passed + _s.c.slow).label("good"),
        sa.func.sum(_s.c.passed + _s.c.slow + _s.c.failed).label("all"),
    )
    .where(_s.c.level == bindparam("length"), _s.c.at >= bindparam("since"))
    .group_by(_s.c.probe)
)
_shapes = Shapes(32)


class Kept(BaseModel):
    """How a probe stood last, so that the next server begins there; its JSON is kept."""

    model_config = ConfigDict(frozen=True)

    standing: Standing = Standing()
    last_checked: int | None = None
    response_time: float | None = None
    message: str | None = None


@dataclass(frozen=True)
class Found:
    """One try of the probe with that number, which ended at `at` (microseconds)."""

    number: int
    at: int
    sample: Sample


@dataclass
class _Count:
    passed: int = 0
    slow: int = 0
    failed: int = 0
    unknown: int = 0
    answers: int = 0
    took: int = 0
    slowest: int = 0

    def add(self, sample: Sample) -> None:
        setattr(self, sample.outcome.value, getattr(self, sample.outcome.value) + 1)
        if sample.took is not None and sample.outcome is not Outcome.UNKNOWN:
            took = round(sample.took * SECOND)
            self.answers += 1
            self.took += took
            self.slowest = max(self.slowest, took)


class Since(NamedTuple):
    """What a service is since when (microseconds), and the deployment that had begun before it became so."""

    status: Status
    at: int
    suspect: Suspect | None = None


def told(tx: Tx) -> dict[tuple[str, str], Since]:
    """What the ledger was told last, by environment and service ("" for all of it)."""
    return {(row["environment"], row["service"]): _since(row) for row in tx.all(_TOLD)}


def _since(row: Row) -> Since:
    known = row["deployment"] is not None
    suspect = Suspect(deployment=row["deployment"], number=row["number"]) if known else None
    return Since(Status(row["status"]), row["since"], suspect)


def tell(tx: Tx, environment: Environment, service: str, new: Since) -> None:
    given = {
        "status": new.status.value,
        "since": new.at,
        "deployment": new.suspect.deployment if new.suspect else None,
        "number": new.suspect.number if new.suspect else None,
    }
    if not tx.run(_TELL_AGAIN, of=environment.value, what=service, **given):
        tx.run(_TELL, environment=environment.value, service=service, **given)


def forget(tx: Tx, environment: Environment, service: str) -> None:
    tx.run(_FORGET, of=environment.value, what=service)


def standings(tx: Tx) -> dict[tuple[str, str], tuple[int, Kept]]:
    """The number of each probe, and how it stood, by environment and name."""
    return {
        (row["environment"], row["probe"]): (row["id"], Kept.model_validate_json(row["standing"]))
        for row in tx.all(_STANDINGS)
    }


def add_probe(tx: Tx, number: int, environment: Environment, name: str) -> None:
    tx.run(
        _ADD_STANDING,
        id=number,
        environment=environment.value,
        probe=name,
        standing=Kept().model_dump_json(),
    )


def record(tx: Tx, found: Sequence[Found], standing: Mapping[int, Kept]) -> None:
    """Keep tries, and how their probes stand by now."""
    for (length, begins, number), count in _counted(found).items():
        _count(tx, length, begins, number, count)
    for number, kept in standing.items():
        tx.run(_SET_STANDING, number=number, standing=kept.model_dump_json())


def _counted(found: Iterable[Found]) -> dict[tuple[int, int, int], _Count]:
    counts: dict[tuple[int, int, int], _Count] = {}
    for each in found:
        for length in LEVELS:
            begins = each.at - each.at % (length * SECOND) if length else each.at
            counts.setdefault((length, begins, each.number), _Count()).add(each.sample)
    return counts


def _count(tx: Tx, length: int, begins: int, number: int, count: _Count) -> None:
    values = vars(count)
    more = {f"more_{name}": value for name, value in values.items()}
    if not tx.run(_COUNT, length=length, begins=begins, number=number, **more):
        tx.run(_ADD_SPAN, level=length, at=begins, probe=number, **values)


def prune(tx: Tx, length: int, before: int) -> int:
    """Forget the spans of that length that began before `before` (microseconds)."""
    return tx.run(_PRUNE, length=length, before=before)


def uptimes(tx: Tx, now: int) -> dict[int, Uptime]:
    """The share of tries that passed, by the number of the probe: over a day, a week and a month."""
    shares: dict[int, dict[str, float]] = {}
    for name, length, days in (("day", HOUR, 1), ("week", DAY, 7), ("month", DAY, 30)):
        for row in tx.all(_UPTIME, length=length, since=now - days * DAY * SECOND):
            if row["all"]:
                shares.setdefault(row["probe"], {})[name] = int(row["good"]) / int(row["all"])
    return {number: Uptime(**share) for number, share in shares.items()}


def spans(
    tx: Tx, numbers: Sequence[int], length: int, since: int, until: int, step: int
) -> dict[int, list[Span]]:
    """What probes found from `since` to `until` (microseconds), `step` of them together, oldest first."""
    if not numbers:
        return {}
    given = {f"probe_{at}": number for at, number in enumerate(numbers)}

    def build() -> sa.ClauseElement:
        begins = (_s.c.at - _s.c.at % bindparam("step", type_=sa.BigInteger)).label("begins")
        sums = [sa.func.sum(_s.c[name]).label(name) for name in _COUNTS]
        return (
            sa.select(_s.c.probe, begins, *sums, sa.func.max(_s.c.slowest).label("slowest"))
            .where(
                _s.c.level == bindparam("length"),
                _s.c.at >= bindparam("since"),
                _s.c.at < bindparam("until"),
                _s.c.probe.in_([bindparam(name) for name in given]),
            )
            .group_by(_s.c.probe, sa.text("begins"))
            .order_by(sa.text("begins"))
        )

    statement = _shapes.get(len(given), build)
    found: dict[int, list[Span]] = {number: [] for number in numbers}
    for row in tx.all(statement, length=length, since=since, until=until, step=step, **given):
        found[row["probe"]].append(_span(row))
    return found


def _span(row: Row) -> Span:
    answers = int(row["answers"])
    return Span(
        at=row["begins"],
        **{name: int(row[name]) for name in ("passed", "slow", "failed", "unknown")},
        response_time=int(row["took"]) / answers / SECOND if answers else None,
        slowest=int(row["slowest"]) / SECOND if answers else None,
    )
