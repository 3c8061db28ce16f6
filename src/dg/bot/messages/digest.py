"""The daily digest of a channel: what happened in its lanes, and what waits for somebody now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dg.bot.messages import blocks as b
from dg.bot.messages.blocks import Block, Rendered
from dg.bot.messages.deployments import STOPPED, number
from dg.bot.messages.health import ICONS, UNWELL
from dg.bot.messages.text import code, day, escape, sentence, span
from dg.core.deployments.figures import DoraFigures, Outcome
from dg.core.deployments.models import Deployment, Kind, Lane, LaneState, Status
from dg.core.drift.models import ServiceDrift
from dg.core.health.models import EnvironmentHealth, ServiceHealth
from dg.core.health.models import Status as Health
from dg.core.text import counted
from dg.core.types import Environment

_MOST = 5
_MOST_SERVICES = 4
_WELL = 0.999
"""The share of tries that passed from which on a service had no trouble worth a line."""


@dataclass(frozen=True)
class Day:
    """What one channel's lanes did between two moments (microseconds), and how they are now.

    `failed` are the newest of what went wrong, `delivery` the figures of production, where they are known.
    """

    since: int
    until: int
    outcomes: Sequence[Outcome] = ()
    failed: Sequence[Deployment] = ()
    waiting: Sequence[Deployment] = ()
    closed: Sequence[Lane] = ()
    drifted: Sequence[ServiceDrift] = ()
    health: Sequence[EnvironmentHealth] = ()
    delivery: DoraFigures | None = None
    url: Callable[[Deployment], str | None] = lambda _: None

    @property
    def is_empty(self) -> bool:
        """Whether nothing ended, nothing waits for anybody and all is well."""
        unwell = any(service.status in UNWELL for each in self.health for service in each.services)
        return not (self.outcomes or self.waiting or self.drifted or unwell)


def digest(shown: Day) -> Rendered:
    """The message of one day."""
    head = _head(shown)
    found = [b.header(head), b.context(f"Since {day(shown.since)}")]
    if shown.outcomes:
        found.append(b.section("\n".join(_environments(shown.outcomes))))
    for title, lines in (
        ("Went wrong", [_failed(each, shown) for each in shown.failed]),
        ("Waiting for approval", [_waiting(each, shown) for each in shown.waiting]),
        ("Closed", [_closed(each) for each in shown.closed]),
        ("Runs something else than dg deployed", [sentence(each.sentence, 300) for each in shown.drifted]),
        ("Not well", [_unwell(*each) for each in _worst(shown.health)]),
    ):
        found += _list(title, lines)
    if shown.delivery and shown.delivery.frequency.deployments:
        found.append(b.context(_delivery(shown.delivery)))
    return Rendered(escape(f"The day in dg: {head}"), tuple(found))


def _head(shown: Day) -> str:
    went_wrong = sum(each.count for each in shown.outcomes if _is_failure(each))
    parts = [counted(sum(each.count for each in shown.outcomes), "deployment")] if shown.outcomes else []
    parts += [f"{went_wrong} went wrong"] if went_wrong else []
    parts += [f"{len(shown.waiting)} waiting for approval"] if shown.waiting else []
    return ", ".join(parts) or "Nothing was deployed"


def _is_failure(each: Outcome) -> bool:
    return each.status in (Status.FAILED, Status.ROLLED_BACK) and each.reason not in STOPPED


def _word(each: Outcome) -> str:
    if each.status is Status.ROLLED_BACK:
        return "rolled back"
    if each.status is Status.FAILED:
        return "stopped" if each.reason in STOPPED else "failed"
    return {Kind.ROLLBACK: "went back", Kind.REDEPLOY: "put there again"}.get(each.kind, "deployed")


def _environments(outcomes: Sequence[Outcome]) -> list[str]:
    lines = []
    for environment in reversed(Environment):
        here = [each for each in outcomes if each.environment is environment]
        if not here:
            continue
        words: Counter[str] = Counter()
        services: Counter[str] = Counter()
        for each in here:
            words[_word(each)] += each.count
            services[each.service] += each.count
        told = " · ".join(f"{count} {word}" for word, count in words.most_common())
        named = [f"{code(name, 40)} {count}" for name, count in services.most_common(_MOST_SERVICES)]
        more = f" and {len(services) - len(named)} more" if len(services) > len(named) else ""
        which = f"  ({', '.join(named)}{more})" if len(services) > 1 else f"  ({code(here[0].service, 40)})"
        lines.append(f"*{environment.value}*  {told}{which}")
    return lines


def _list(title: str, lines: Sequence[str]) -> list[Block]:
    if not lines:
        return []
    left = len(lines) - _MOST
    shown = [f"*{title}*", *lines[:_MOST], *([f"_and {left} more_"] if left > 0 else [])]
    return [b.section("\n".join(shown))]


def _what(told: Deployment, shown: Day) -> str:
    where = f"*{escape(told.service, 63)}* {code(told.version, 40)} in {told.environment.value}"
    return f"{number(told, shown.url(told))} {where}"


def _failed(told: Deployment, shown: Day) -> str:
    icon = ":leftwards_arrow_with_hook:" if told.status is Status.ROLLED_BACK else ":x:"
    why = f": {escape(told.message, 140)}" if told.message else ""
    return f"{icon} {_what(told, shown)}{why}"


def _waiting(told: Deployment, shown: Day) -> str:
    return f":raised_hand: {_what(told, shown)}, since {day(told.created_at)}"


def _closed(lane: Lane) -> str:
    icon = ":snowflake:" if lane.state is LaneState.FROZEN else ":lock:"
    return f"{icon} {sentence(lane.sentence, 300)}"


def _worst(found: Sequence[EnvironmentHealth]) -> list[tuple[EnvironmentHealth, ServiceHealth]]:
    """Services that are not well, and those that were not always, the worst first."""
    known = [(each, service) for each in found for service in each.services]
    unwell = [each for each in known if each[1].status in UNWELL or _share(each[1]) < _WELL]
    order: Mapping[Health, int] = {status: at for at, status in enumerate(UNWELL)}
    return sorted(unwell, key=lambda each: (order.get(each[1].status, len(order)), _share(each[1])))


def _share(service: ServiceHealth) -> float:
    return 1.0 if service.uptime.day is None else service.uptime.day


def _unwell(found: EnvironmentHealth, service: ServiceHealth) -> str:
    where = f"*{escape(service.name, 63)}* in {found.name.value}"
    passed = (
        f", {_share(service) * 100:.1f} % of the day's tries were good" if _share(service) < _WELL else ""
    )
    if service.status not in UNWELL:
        return f"{ICONS[service.status]} {where} is {service.status.value} now{passed}"
    since = f" since {day(service.since)}" if service.since else ""
    said = f": {escape(service.message, 120)}" if service.message else ""
    return f"{ICONS[service.status]} {where} is {service.status.value}{since}{passed}{said}"


def _delivery(found: DoraFigures) -> str:
    days = round((found.until - found.since) / 86_400_000_000)
    parts = [f"{found.frequency.per_week:.1f} deployments a week"]
    if found.lead_time.median is not None:
        parts.append(f"from commit to production in {span(found.lead_time.median)}")
    if found.change_failure.rate is not None:
        parts.append(f"{found.change_failure.rate * 100:.0f} % failed")
    if found.recovery.median is not None:
        parts.append(f"mended in {span(found.recovery.median)}")
    return f":bar_chart: Production in {days} days: " + " · ".join(parts)
