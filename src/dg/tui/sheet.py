"""Something to read in full that has no room where it stands: a text over the screen, closed with escape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from dg.tui.ink import Pieces, label, paragraph


class Sheet(ModalScreen[None]):
    """Rows under a title. `fill` gives it others while it is open."""

    CSS = """
    Sheet { align: center middle; background: $background 60%; }
    Sheet #sheet {
        width: 100; max-width: 100%; height: auto; max-height: 85%; padding: 1 2; background: $surface;
        border: round $primary;
    }
    Sheet.-production #sheet { border: heavy $dg-prod; }
    Sheet Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "leave", "Close", id="sheet.close")]

    def __init__(self, title: str, rows: Iterable[Pieces], *, production: bool = False) -> None:
        super().__init__()
        self._box = VerticalScroll(id="sheet")
        self._box.border_title = label(title)
        self._box.border_subtitle = label("esc closes")
        self._text = Static("", id="text")
        self._production = production
        self.fill(rows)

    def compose(self) -> ComposeResult:
        self.set_class(self._production, "-production")
        with self._box:
            yield self._text

    def on_mount(self) -> None:
        self._box.focus()

    def fill(self, rows: Iterable[Pieces]) -> None:
        """Show these rows from now on."""
        self._text.update(paragraph(rows))

    def action_leave(self) -> None:
        self.dismiss()


def facts(found: Iterable[tuple[str, str]]) -> list[Pieces]:
    """A row for each name that has a value."""
    given = [(name, value) for name, value in found if value]
    width = max((len(name) for name, _ in given), default=0)
    return [[(f"{name:<{width}}  ", "muted"), (value, "fg")] for name, value in given]
