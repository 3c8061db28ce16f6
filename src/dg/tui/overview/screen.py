"""The first screen: the three environments side by side, what is under way, what happened."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from dg.tui import drawing
from dg.tui.deployments.screen import columns, nothing, open_detail
from dg.tui.frame.foot import Foot
from dg.tui.frame.view import View
from dg.tui.ink import Pieces, label
from dg.tui.overview.cards import Card, skeleton
from dg.tui.store import Topic
from dg.tui.views import ENVIRONMENTS, PRODUCTION, DeploymentView
from dg.tui.widgets.panel import Panel
from dg.tui.widgets.table import Table


class Overview(View):
    """What on-call keeps open."""

    MODE = "overview"
    TWINS: ClassVar = {
        "lanes and what is under way": "dg status",
        "health": "dg health",
        "activity": "dg events",
    }
    CSS = """
    Overview #cards { height: 17; }
    Overview .card { width: 1fr; }
    Overview #low { height: 1fr; }
    Overview #deployments { width: 1fr; height: 1fr; }
    Overview #activity { width: 46; height: 1fr; }
    Overview.-mid #cards { height: 13; }
    Overview.-short #cards { height: 8; }
    Overview.-middle #activity { width: 42; }
    Overview.-narrow #activity, Overview.-short #activity { display: none; }
    Overview.-low #cards { layout: vertical; height: 3; }
    Overview.-low .card { height: 1; border: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "app.retry", "Refresh", show=False, id="view.refresh")
    ]

    def __init__(self) -> None:
        super().__init__()
        self._cards = {
            name: Panel(partial(self._card, name), id=f"card-{name}", classes="box card")
            for name in ENVIRONMENTS
        }
        self._table = Table[DeploymentView](
            columns(self),
            lambda row: row.id,
            empty="no deployments yet",
            sort="number",
            descending=True,
            id="deployments",
            classes="box",
        )
        self._facts = Panel(self._activity, id="activity", classes="box")
        self._table.border_title = label("deployments")
        self._facts.border_title = label("activity")
        for name, card in self._cards.items():
            card.set_class(name == PRODUCTION, "-production")
            card.border_title = label(name.upper() if name == PRODUCTION else name)

    def compose(self) -> ComposeResult:
        yield self.bar()
        with Horizontal(id="cards", classes="content"):
            yield from self._cards.values()
        with Horizontal(id="low", classes="content"):
            yield self._table
            yield self._facts
        yield Foot()

    def on_mount(self) -> None:
        self._table.focus()

    def _card(self, name: str, width: int, height: int) -> list[Pieces]:
        if not self.store.at:
            return skeleton(width, height)
        card = Card.of(self.store, name, self.now)
        return [card.line(width)] if height == 1 else card.draw(width, height)

    def _activity(self, width: int, height: int) -> list[Pieces]:
        if not self.store.activity and self.store.rights.hides("event:read"):
            return [[("you may not see what happens", "muted")]]
        return drawing.activity(self.store.activity, width, height)

    @property
    def subject(self) -> DeploymentView | None:
        return self.store.deployments.get(self._table.cursor or "")

    def on_table_moved(self) -> None:
        self.refresh_bindings()

    def show(self, topics: frozenset[Topic]) -> None:
        if topics & {"environments", "lanes", "deployments", "progress", "link", "rights"}:
            for card in self._cards.values():
                card.redraw()
        if topics & {"deployments", "link", "rights"}:
            self._table.empty = nothing(self)
        if "deployments" in topics:
            self._table.replace(self.store.deployments.values())
        if topics & {"progress", "link"}:
            self._table.redraw()
        if topics & {"activity", "rights"}:
            self._facts.redraw()

    def tick(self) -> None:
        super().tick()
        for panel in (*self._cards.values(), self._facts):
            panel.redraw()
        self._table.redraw()

    def subtitles(self) -> Mapping[str, str]:
        store = self.store
        waits = sum(each.state == "needs_approval" for each in store.deployments.values())
        parts = [
            f"{len(store.running)} under way",
            f"{waits} waiting for approval" if waits else "",
            f"{len(store.deployments)} shown",
        ]
        domains = {f"card-{name}": each.domain for name, each in store.environments.items()}
        hidden = store.rights.hides("deployment:read")
        return {"deployments": "" if hidden else " · ".join(filter(None, parts)), **domains}

    def on_table_opened(self, event: Table.Opened) -> None:
        open_detail(self, event.key)
