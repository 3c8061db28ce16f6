"""How services are: the message of one that is not well, and the answer to who asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dg.bot.messages import blocks as b
from dg.bot.messages.blocks import Block, Rendered
from dg.bot.messages.deployments import is_current, number, roll_back
from dg.bot.messages.text import code, escape, moment, span
from dg.core.clock import SECOND
from dg.core.deployments.models import Deployment, Lane
from dg.core.health.models import EnvironmentHealth, ServiceHealth, Status

_MOST_SERVICES = 20
ICONS = {
    Status.HEALTHY: ":large_green_circle:",
    Status.DEGRADED: ":large_yellow_circle:",
    Status.UNHEALTHY: ":red_circle:",
    Status.UNKNOWN: ":white_circle:",
}
UNWELL = (Status.UNHEALTHY, Status.DEGRADED)
"""What somebody should look at, the worse first."""


@dataclass(frozen=True)
class Shown:
    """A service that is not well, or was: what the outbox kept of it, as `dg.core.slack.health` makes it.

    `suspect` had begun shortly before; `url` leads to it.
    """

    about: Mapping[str, Any]
    suspect: Deployment | None = None
    lane: Lane | None = None
    url: str | None = None


def change(shown: Shown) -> Rendered:
    """The one message of a service that is not well."""
    about = shown.about
    status = Status(about["status"])
    plain = f"{escape(about['service'], 63)} in {escape(about['environment'], 20)}"
    said = f"\n~{escape(about['message'], 300).replace('~', '-')}~" if about["message"] else ""
    if about["over"]:
        return Rendered(f"{plain} {_ended(about, status)}", (b.section(line(about) + said),))
    blocks = [b.section("\n".join([line(about), *_why(about)])), *_suspect(shown)]
    return Rendered(f"{plain} is {_word(status)}: {escape(about['message'] or '', 200)}", tuple(blocks))


def line(about: Mapping[str, Any]) -> str:
    """How it is now, and since when; or that it is over, after how long."""
    status = Status(about["status"])
    where = f"*{escape(about['service'], 63)}* in *{escape(about['environment'], 20)}*"
    if about["over"]:
        lasted = span((about["at"] - about["since"]) / SECOND)
        return f"{ICONS[status]} {where} {_ended(about, status)}, after {lasted}."
    return f"{ICONS[status]} {where} is {_word(status)} since {moment(about['since'])}."


def _ended(about: Mapping[str, Any], status: Status) -> str:
    if status is Status.HEALTHY:
        return "is healthy again"
    return "became unhealthy" if status is Status.UNHEALTHY else "has no probe any more"


def _word(status: Status) -> str:
    return "not known to be well" if status is Status.UNKNOWN else status.value


def _why(about: Mapping[str, Any]) -> list[str]:
    found = []
    if about["message"]:
        by = f" ({code(about['probe'])})" if about["probe"] else ""
        found.append(escape(about["message"], 500) + by)
    if about["because"]:
        found.append(f"It depends on {code(about['because'])}, which failed too.")
    return found


def _suspect(shown: Shown) -> list[Block]:
    told = shown.suspect
    if told is None:
        return []
    by = escape(told.created_by_name or told.created_by, 60).replace("*", "")
    blocks = [
        b.context(f":mag: {number(told, shown.url)} {code(told.version)} by *{by}* had begun shortly before.")
    ]
    return [*blocks, b.actions(roll_back(told))] if is_current(told, shown.lane) else blocks


def answer(found: Sequence[EnvironmentHealth]) -> Rendered:
    """How each service of some environments is."""
    if not found:
        text = "No environment that you may see has probes: `dg probe set --help` shows how."
        return Rendered(text, (b.section(text),))
    return Rendered(
        "; ".join(f"{each.name.value} is {each.status}" for each in found),
        tuple(block for each in found for block in _environment(each)),
    )


def _environment(found: EnvironmentHealth) -> list[Block]:
    icon = ICONS[Status(found.status)] if found.known or found.status != "degraded" else ":white_circle:"
    since = f" since {moment(found.since)}" if found.since else ""
    word = found.status if found.known or found.status != "degraded" else "not wholly known"
    head = f"{icon} *{found.name.value}* is {word}{since}: {escape(found.message, 600)}"
    lines = [_service(each) for each in found.services[:_MOST_SERVICES]]
    left = len(found.services) - _MOST_SERVICES
    lines += [f"_{left} more: {code('dg health ' + found.name.value)}_"] if left > 0 else []
    return [b.section(head), b.section("\n".join(lines))] if lines else [b.section(head)]


def _service(found: ServiceHealth) -> str:
    took = f"  {found.response_time * 1000:.0f} ms" if found.response_time is not None else ""
    since = f"  since {moment(found.since)}" if found.since else ""
    said = f"  {escape(found.message, 120)}" if found.message else ""
    suspect = f"  :mag: #{found.suspect.number}" if found.suspect else ""
    return f"{ICONS[found.status]} {escape(found.name, 63)}{took}{since}{said}{suspect}"
