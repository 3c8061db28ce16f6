"""App Home: a small dashboard for one person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dg.bot.messages import blocks as b
from dg.bot.messages.answers import LANES, runs
from dg.bot.messages.blocks import Block
from dg.bot.messages.deployments import (
    APPROVE,
    REJECT,
    approval_stamp,
    icon,
    number,
    stamp,
    word,
)
from dg.bot.messages.health import ICONS, UNWELL
from dg.bot.messages.text import code, day, escape, moment, sentence
from dg.core.access.models import Principal
from dg.core.deployments.models import Deployment, Kind, Lane
from dg.core.health.models import EnvironmentHealth
from dg.core.health.models import Status as Health
from dg.core.text import counted
from dg.core.types import Environment

REFRESH = "dg_refresh"

_MOST_WAITING = 8
_MOST_RECENT = 8
_MOST_LANES = 15


@dataclass(frozen=True)
class Board:
    """What one person may see, at `now`. `mine` wait for an approval that they may give.

    `health` is of the environments that are probed; `url` leads to a deployment.
    """

    principal: Principal
    lanes: Sequence[Lane]
    mine: Sequence[Deployment]
    recent: Sequence[Deployment]
    now: int
    health: Sequence[EnvironmentHealth] = ()
    url: Callable[[Deployment], str | None] = lambda _: None


def board(shown: Board) -> Block:
    """The view of somebody who is known."""
    waiting = counted(len(shown.mine), "deployment")
    blocks = (
        [b.header(f"{waiting} {'waits' if len(shown.mine) == 1 else 'wait'} for you")] if shown.mine else []
    )
    for told in shown.mine[:_MOST_WAITING]:
        blocks += [b.section(f":raised_hand: {_line(told, shown)}{_note(told)}"), _decide(told)]
    blocks.append(b.header("What runs where"))
    for environment in reversed(Environment):
        if lines := _environment(environment, shown):
            blocks.append(b.section("\n".join(lines)))
    if not shown.lanes:
        blocks.append(b.section(f"Nothing yet. {code('/dg deploy SERVICE VERSION to staging')} begins."))
    if shown.recent:
        lines = [f"{icon(told)} {_line(told, shown)}: {word(told)}" for told in shown.recent[:_MOST_RECENT]]
        blocks += [b.header("Latest"), b.section("\n".join(lines))]
    blocks.append(b.actions(b.button("Refresh", REFRESH, "home")))
    held = ", ".join(sorted({grant.spoken for grant in shown.principal.grants})) or "no role"
    you = f"You are *{escape(shown.principal.name, 80)}*: {escape(held, 300)} · as of {moment(shown.now)}"
    nothing = [] if shown.mine else ["Nothing waits for you"]
    return _home([*blocks, b.context(*nothing, you, f"Ask with {code('/dg help')}")])


def stranger(text: Block) -> Block:
    """The view of somebody of whom is not known who they are."""
    return _home([b.header("dg"), text, b.actions(b.button("Refresh", REFRESH, "home"))])


def _environment(environment: Environment, shown: Board) -> list[str]:
    """How one environment is, and the version in each of its lanes; empty where nothing runs."""
    lanes = [lane for lane in shown.lanes if lane.environment is environment]
    if not lanes:
        return []
    found = next((each for each in shown.health if each.name is environment and each.services), None)
    how = f"  {ICONS[Health(found.status)]} {found.status}" if found else ""
    lines = [f"*{environment.value}*{how}"]
    unwell = {each.name: each.status for each in found.services if each.status in UNWELL} if found else {}
    for lane in lanes[:_MOST_LANES]:
        closed = f"\n      {sentence(lane.sentence, 250)}" if lane.state.closed else ""
        is_bad = f"  {ICONS[unwell[lane.service]]} {unwell[lane.service]}" if lane.service in unwell else ""
        lines.append(f"{LANES[lane.state]} {escape(lane.service, 63)} {runs(lane)}{is_bad}{closed}")
    left = len(lanes) - _MOST_LANES
    return [*lines, f"_{left} more: {code('/dg status ' + environment.value)}_"] if left > 0 else lines


def _line(told: Deployment, shown: Board) -> str:
    back = "back to " if told.kind is Kind.ROLLBACK else ""
    where = f"*{escape(told.service, 63)}* {back}{code(told.version, 60)} in {told.environment.value}"
    by = escape(told.created_by_name or told.created_by, 60)
    return f"{number(told, shown.url(told))} {where} by {by}, {day(told.created_at)}"


def _note(told: Deployment) -> str:
    return f"\n{escape(told.note, 200)}" if told.note else ""


def _decide(told: Deployment) -> Block:
    where = f"*{escape(told.service)}* {code(told.version)} to *{told.environment.value}*"
    agree = b.confirmation("Approve this?", f"{where}, as it is shown here.", "Approve")
    return b.actions(
        b.button("Approve", APPROVE, approval_stamp(told), "primary", agree),
        b.button("Reject…", REJECT, stamp(told), "danger"),
    )


def _home(blocks: list[Block]) -> Block:
    return {"type": "home", "blocks": blocks[:100]}
