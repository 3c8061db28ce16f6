"""What the environments screen shows in full, over itself: a row, and what the server says more of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dg.tui.environments import reading
from dg.tui.environments.drawing import backups, document, drift, lanes, probes
from dg.tui.environments.drawing.document import Entry
from dg.tui.frame.answers import fill
from dg.tui.frame.sheet import Sheet, facts
from dg.tui.frame.view import View
from dg.tui.ink import Pieces
from dg.tui.views import PRODUCTION

if TYPE_CHECKING:
    from dg.core.environments.models import EnvironmentDiff, EnvironmentState, SecretUse, Version


def show(view: View, state: EnvironmentState, title: str, rows: Sequence[Pieces]) -> Sheet:
    """Rows over the screen, marked where it is production."""
    name = state.name.value
    sheet = Sheet(f"{name} · {title}", rows, production=name == PRODUCTION)
    view.app.push_screen(sheet)
    return sheet


def show_row(view: View, state: EnvironmentState, page: str, row: Any) -> None:
    """A row of a page in full."""
    now = view.now
    match page:
        case "health":
            show(view, state, row.key, facts(probes.facts(row.reading, now)))
        case "config":
            show_entry(view, state, row)
        case "history":
            show_version(view, state, row)
        case "compare":
            show(view, state, row.key, facts(document.difference_facts(row)))
        case "lanes":
            show(view, state, row.key, facts(lanes.facts(row)))
        case "drift":
            show(view, state, row.service, facts(drift.facts(row, now)))
        case _:
            show(view, state, row.id, facts(backups.facts(row, now)))


def show_entry(view: View, state: EnvironmentState, entry: Entry) -> None:
    """A key; of a secret who uses it, too."""
    told = facts(document.entry_facts(entry, view.now))
    sheet = show(view, state, entry.key, told)

    def draw(use: SecretUse | None) -> list[Pieces]:
        return [*told, [], *facts(document.use_facts(use, view.now))]

    if entry.secret is not None:
        fill(view, sheet, lambda dg: reading.read_use(dg, state, entry.shown), draw, told)


def show_version(view: View, state: EnvironmentState, version: Version) -> None:
    """Who made a version, why, and what it changed."""
    by = facts([("by", version.by_name or version.by), ("why", version.reason or "")])
    sheet = show(view, state, f"version {version.version}", [*by, [("looking what changed …", "muted")]])

    def draw(found: EnvironmentDiff) -> list[Pieces]:
        return [*by, [], *document.differences(found.items)]

    before = max(0, version.version - 1)
    fill(
        view,
        sheet,
        lambda dg: dg.environments.diff(state.name, since=before, until=version.version),
        draw,
        by,
    )
