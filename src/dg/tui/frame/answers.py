"""A sheet that is filled with what the server answers, or with why it does not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dg.core.errors import Problem
from dg.tui.actions import Act
from dg.tui.background import begin
from dg.tui.errors import sentence
from dg.tui.frame.sheet import Sheet
from dg.tui.ink import Pieces
from dg.tui.views import PRODUCTION

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.tui.frame.view import View


def carry_out(view: View, act: Act) -> None:
    """Do at once what needs no question, and show its answer. The act says how that is shown."""
    hands, show = view.dashboard.hands, act.show
    if show is None:
        raise ValueError(f"{act.title}: nothing shows its answer")
    waiting: list[Pieces] = [[("asking …", "muted")]]
    sheet = Sheet(act.title, waiting, production=act.environment == PRODUCTION, command=act.command({}))
    view.app.push_screen(sheet)
    fill(view, sheet, lambda dg: hands.send(dg, act, {}, uuid4().hex), lambda answer: show(answer).rows)


def fill(
    view: View,
    sheet: Sheet,
    ask: Callable[[Client], Awaitable[Any]],
    draw: Callable[[Any], list[Pieces]],
    told: Sequence[Pieces] = (),
) -> None:
    """Show what the server answers, or below what was `told` already why it does not."""
    begin(sheet, "fill", partial(_asked, view, sheet, ask, draw, told))


async def _asked(
    view: View,
    sheet: Sheet,
    ask: Callable[[Client], Awaitable[Any]],
    draw: Callable[[Any], list[Pieces]],
    told: Sequence[Pieces],
) -> None:
    try:
        found = await view.dashboard.feed.call(ask)
    except Problem as problem:
        sheet.fill([*told, [(f"✗ {sentence(problem)}", "err")]])
    except ValueError as objection:
        sheet.fill([*told, [(str(objection), "warn")]])
    else:
        sheet.fill(draw(found))
