"""`?`: the keys that do something here and now, read from the bindings that are active; and the palette."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import Screen

from dg.tui.hints import hint
from dg.tui.ink import fit, label, paragraph
from dg.tui.palette import PALETTES
from dg.tui.steady import Modal
from dg.tui.widgets.table import Column, Table

if TYPE_CHECKING:
    from dg.tui.app import Dashboard


KEYS = 8
"""Cells for the keys of an entry in the palette."""
NOT_HERE = frozenset({"scroll_left", "scroll_right", "page_left", "page_right"})
"""What every scrolling widget of Textual has, and none of these screens can use."""


_MOVES = ("up", "down", "page-up", "page-down", "first", "last")
NOT_BY_NAME = frozenset(
    {
        *(f"{where}.{move}" for where in ("table", "log") for move in _MOVES),
        *("app.overview", "app.deployments", "app.environments", "app.access", "app.palette"),
    }
)
"""What nobody looks for in a palette, or finds there by another name."""


_RANKS = ("act", "environments", "access", "deployments", "detail", "diff", "log", "view", "table", "app")
"""What keys are for, by the beginnings of their names: what matters here first, what moves last."""
_SAID = {
    "app.focus_next": "Next box",
    "app.focus_previous": "Box before",
    "screen.copy_text": "Copy what the mouse marked",
}
"""What Textual's own keys do, in the words of the others."""


def _rank(key: Key) -> tuple[int, int]:
    group, _, name = key.id.partition(".")
    return key.action in _SAID or name in _MOVES, _RANKS.index(group) if group in _RANKS else 0


@dataclass(frozen=True)
class Key:
    """One thing that keys do. `id` is its name in a keymap."""

    id: str
    keys: str
    what: str
    action: str
    where: str
    node: DOMNode | None = None


def active_keys(screen: Screen[Any]) -> list[Key]:
    """What keys do on this screen now, those of the focused widget first."""
    found: dict[tuple[str, str], list[str]] = {}
    rows: dict[tuple[str, str], Key] = {}
    for active in screen.active_bindings.values():
        binding, node = active.binding, active.node
        if not binding.description or binding.action in NOT_HERE or not active.enabled:
            continue
        at = type(node).__name__, binding.action
        found.setdefault(at, []).append(screen.app.get_key_display(binding))
        where = type(node).__name__
        what = _SAID.get(binding.action, binding.description)
        rows[at] = Key(binding.id or binding.action, "", what, binding.action, where, node)
    listed = (replace(row, keys=" ".join(dict.fromkeys(found[at]))) for at, row in rows.items())
    return sorted(listed, key=_rank)


class Help(Modal):
    """A list of keys."""

    CSS = """
    Help { align: center middle; background: $background 60%; }
    Help Table { width: 76; max-width: 100%; height: 80%; border: round $primary; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q", "leave", "Close", id="help.close")
    ]

    def __init__(self, keys: Iterable[Key], twins: Mapping[str, str]) -> None:
        """`twins` are the commands that say in lines what the screen shows, by what they say."""
        super().__init__()
        said = [Key(command, "in lines", what, command, "twin") for what, command in twins.items()]
        self._keys = [*keys, *said]

    def compose(self) -> ComposeResult:
        columns = (
            Column[Key]("keys", "key", lambda row: [(row.keys, "primary bold")], 16),
            Column[Key]("what", "does", lambda row: [(row.what, "fg")], 20, flex=True),
            Column[Key]("id", "name in a keymap, or command", lambda row: [(row.id, "dim")], 22, needs=60),
        )
        yield Table[Key](columns, lambda row: f"{row.where} {row.action}")

    def action_leave(self) -> None:
        # Not `pop_screen`: a second escape that comes before the first has ended would close what is below.
        self.dismiss()

    def on_mount(self) -> None:
        table = self.query_one(Table)
        table.border_title = label("keys here")
        table.border_subtitle = label(hint(self, "help.close", "closes"))
        table.replace(self._keys)
        table.focus()


class Commands(Provider):
    """What the palette offers: screens, the keys of this screen by name, deployments, themes."""

    def _offers(self) -> list[tuple[str, str, object]]:
        dashboard = cast("Dashboard", self.app)
        tabs = [
            (f"go to {tab.title}", tab.key, partial(dashboard.action_go, tab.mode)) for tab in dashboard.tabs
        ]
        keys = [
            (key.what, key.keys, partial(dashboard.run_action, key.action, key.node))
            for key in active_keys(self.screen)
            if key.id not in NOT_BY_NAME and key.action not in _SAID
        ]
        newest = sorted(dashboard.store.deployments.values(), key=lambda each: -each.number)[:50]
        opened = [(f"open {each.name}", "", partial(dashboard.open_deployment, each.id)) for each in newest]
        themes = [(f"theme {name}", "", partial(dashboard.action_theme, name)) for name in PALETTES]
        saved = dashboard.saved_filters.names()
        kept = [
            (
                f"{mode} @{name}",
                "",
                partial(dashboard.go_to, mode, dashboard.saved_filters.text(mode, f"@{name}")),
            )
            for mode, names in saved.items()
            if mode in dashboard.MODES
            for name in names
        ]
        return [*keys, *tabs, *kept, *opened, *themes]

    async def discover(self) -> Hits:
        for name, keys, run in self._offers():
            yield DiscoveryHit(_entry(name, keys), run, text=name)  # type: ignore[arg-type]

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, keys, run in self._offers():
            if (score := matcher.match(name)) > 0:
                yield Hit(score, _entry(name, keys), run, text=name)  # type: ignore[arg-type]


def _entry(name: str, keys: str) -> Content:
    """One row of the palette: its key, and what it does."""
    return paragraph([[(f"{fit(keys, KEYS):<{KEYS}}  ", "primary"), (name, "")]])
