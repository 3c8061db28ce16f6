"""`python -m benchmarks.peers.stock`: a dashboard of Textual's own parts, four tabs with a DataTable each."""

from __future__ import annotations

from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import DataTable, Footer, Header, TabbedContent, TabPane

TABS = ("deployments", "lanes", "environments", "access")
TITLES = ("#", "state", "environment", "version", "change", "by", "took", "age")
ROWS = 12


class Stock(App[None]):
    """Keys 1 to 4 go to a tab."""

    BINDINGS: ClassVar[list[BindingType]] = [
        (str(at), f"go('{name}')", name) for at, name in enumerate(TABS, 1)
    ]

    def compose(self) -> ComposeResult:
        yield Header()
        with TabbedContent():
            for name in TABS:
                with TabPane(name, id=name):
                    yield DataTable[str]()
        yield Footer()

    def on_mount(self) -> None:
        for table in self.query(DataTable):
            table.add_columns(*((title, title) for title in TITLES))
            for at in range(ROWS):
                table.add_row(
                    str(at), "success", "staging", "1.4.2", "retry writes", "ana", "3s", "2m", key=str(at)
                )

    def action_go(self, name: str) -> None:
        self.query_one(TabbedContent).active = name


if __name__ == "__main__":
    Stock().run()
