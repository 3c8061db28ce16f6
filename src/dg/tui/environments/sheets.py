"""What the environments screen shows in full, over itself: a row, and what the server says more of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dg.core.errors import Problem
from dg.tui.background import begin
from dg.tui.environments import acts, contents, drawing, reading
from dg.tui.environments.contents import Entry
from dg.tui.errors import sentence
from dg.tui.ink import Pieces
from dg.tui.sheet import Sheet, facts
from dg.tui.signs import ink, said
from dg.tui.view import View
from dg.tui.views import PRODUCTION

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.environments.models import EnvironmentDiff, EnvironmentState, SecretUse, Version
    from dg.core.health.models import ProbeTest, Reading


def show(view: View, state: EnvironmentState, title: str, rows: Sequence[Pieces]) -> Sheet:
    """Rows over the screen, marked where it is production."""
    name = state.name.value
    sheet = Sheet(f"{name} · {title}", rows, production=name == PRODUCTION)
    view.app.push_screen(sheet)
    return sheet


def show_entry(view: View, state: EnvironmentState, entry: Entry) -> None:
    """A key; of a secret who uses it, too."""
    told = facts(contents.entry_facts(entry, view.now))
    sheet = show(view, state, entry.key, told)

    def draw(use: SecretUse | None) -> list[Pieces]:
        return [*told, [], *facts(contents.use_facts(use, view.now))]

    if entry.secret is not None:
        _fill(view, sheet, lambda dg: reading.read_use(dg, state, entry.shown), draw, told)


def show_version(view: View, state: EnvironmentState, version: Version) -> None:
    """Who made a version, why, and what it changed."""
    by = facts([("by", version.by_name or version.by), ("why", version.reason or "")])
    sheet = show(view, state, f"version {version.version}", [*by, [("looking what changed …", "muted")]])

    def draw(found: EnvironmentDiff) -> list[Pieces]:
        return [*by, [], *contents.differences(found.items)]

    before = max(0, version.version - 1)
    _fill(
        view,
        sheet,
        lambda dg: dg.environments.diff(state.name, since=before, until=version.version),
        draw,
        by,
    )


def try_probe(view: View, state: EnvironmentState, probe: Reading) -> None:
    """Ask now, and show what it answers."""
    act, hands = acts.try_probe(state, probe), view.dashboard.hands
    sheet = show(view, state, f"try {probe.name}", [[("asking …", "muted")]])

    def draw(found: ProbeTest) -> list[Pieces]:
        status = drawing.word(found.status)
        told = [(name, contents.text(value)) for name, value in found.facts.items()]
        rows = facts([("took", drawing.took(found.response_time)), *told])
        return [[(said(status), f"{ink(status)} bold"), (f"  {found.message or ''}", "fg")], *rows]

    _fill(view, sheet, lambda dg: hands.send(dg, act, {}, uuid4().hex), draw, ())


def _fill(
    view: View,
    sheet: Sheet,
    ask: Callable[[Client], Awaitable[Any]],
    draw: Callable[[Any], list[Pieces]],
    told: Sequence[Pieces],
) -> None:
    """Show what the server answers, or below what was told already why it does not."""
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
