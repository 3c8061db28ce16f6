"""App Home: a small dashboard for one person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dg.bot.messages import answers
from dg.bot.messages import blocks as b
from dg.bot.messages.blocks import Block
from dg.bot.messages.deployments import APPROVE, REJECT, approval_stamp, stamp, summary
from dg.bot.messages.text import code, escape, moment
from dg.core.access.models import Principal
from dg.core.deployments.models import Deployment, Lane

REFRESH = "dg_refresh"

_MOST_WAITING = 8
_MOST_RECENT = 8


@dataclass(frozen=True)
class Board:
    """What one person may see, at `now`. `mine` wait for an approval that they may give."""

    principal: Principal
    lanes: Sequence[Lane]
    mine: Sequence[Deployment]
    recent: Sequence[Deployment]
    now: int


def board(shown: Board) -> Block:
    """The view of somebody who is known."""
    blocks = [b.header("What runs where"), *answers.lanes(shown.lanes, ()).blocks, b.divider()]
    blocks.append(b.section("*Waits for you*" if shown.mine else "*Nothing waits for you.*"))
    for told in shown.mine[:_MOST_WAITING]:
        blocks += [b.section(f":raised_hand: {escape(summary(told), 200)}"), _decide(told)]
    if shown.recent:
        lines = [f"• {escape(summary(told), 200)} {moment(told.created_at)}" for told in shown.recent]
        blocks += [b.divider(), b.section("*Latest*\n" + "\n".join(lines[:_MOST_RECENT]))]
    blocks.append(b.actions(b.button("Refresh", REFRESH, "home")))
    held = ", ".join(sorted({grant.spoken for grant in shown.principal.grants})) or "no role"
    you = f"You are *{escape(shown.principal.name, 80)}*: {escape(held, 300)} · as of {moment(shown.now)}"
    return _home([*blocks, b.context(you, f"Ask with {code('/dg help')}")])


def stranger(text: Block) -> Block:
    """The view of somebody of whom is not known who they are."""
    return _home([b.header("dg"), text, b.actions(b.button("Refresh", REFRESH, "home"))])


def _decide(told: Deployment) -> Block:
    where = f"*{escape(told.service)}* {code(told.version)} to *{told.environment.value}*"
    agree = b.confirmation("Approve this?", f"{where}, as it is shown here.", "Approve")
    return b.actions(
        b.button("Approve", APPROVE, approval_stamp(told), "primary", agree),
        b.button("Reject…", REJECT, stamp(told), "danger"),
    )


def _home(blocks: list[Block]) -> Block:
    return {"type": "home", "blocks": blocks[:100]}
