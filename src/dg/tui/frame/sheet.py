"""Something to read in full that has no room where it stands: a text over the screen, closed with escape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from dg.tui.actions import Shown
from dg.tui.hints import hint
from dg.tui.ink import Pieces, label, paragraph
from dg.tui.steady import Modal


class Sheet(Modal):
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
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "leave", "Close", id="sheet.close"),
        Binding("ctrl+t", "copy_command", "Copy the command", id="sheet.copy"),
    ]

    def __init__(
        self, title: str, rows: Iterable[Pieces], *, production: bool = False, command: str = ""
    ) -> None:
        super().__init__()
        self._command = command
        self._box = VerticalScroll(id="sheet")
        self._box.border_title = label(title)
        self._text = Static("", id="text")
        self._production = production
        self._rows = list(rows)

    def compose(self) -> ComposeResult:
        self.set_class(self._production, "-production")
        with self._box:
            yield self._text

    def on_mount(self) -> None:
        self._box.border_subtitle = label(self._way_out)
        self._draw()
        self._box.focus()

    @property
    def _way_out(self) -> str:
        return hint(self, "sheet.close", "closes")

    def fill(self, rows: Iterable[Pieces]) -> None:
        """Show these rows from now on."""
        self._rows = list(rows)
        if self.is_mounted:
            self._draw()

    def _draw(self) -> None:
        self._text.update(paragraph([*self._rows, *self._same()]))

    def _same(self) -> list[Pieces]:
        """The last lines: the command for it."""
        if not self._command:
            return []
        copies = f"  {hint(self, 'sheet.copy', 'copies')}"
        return [[], [("the same: ", "dim"), (self._command, "muted"), (copies, "dim")]]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self._command) if action == "copy_command" else True

    def action_leave(self) -> None:
        self.dismiss()

    def action_copy_command(self) -> None:
        self.app.copy_to_clipboard(self._command)


class Once(Sheet, inherit_bindings=False):
    """A secret that no other answer has: it is left on purpose alone, and kept nowhere."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Close", id="once.close"),
        Binding("y", "copy", "Copy", id="once.copy"),
    ]

    def __init__(self, title: str, rows: Iterable[Pieces], secret: str) -> None:
        self._secret = secret
        super().__init__(title, rows)

    @property
    def _way_out(self) -> str:
        copies, closes = hint(self, "once.copy", "copies it"), hint(self, "once.close", "closes")
        return f"{copies} · {closes}, and it is gone"

    def _same(self) -> list[Pieces]:
        return [[], [("It is shown this once:", "warn bold")], [(self._secret, "fg bold")]]

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._secret)

    def action_leave(self) -> None:
        self._secret = ""
        self.fill(())
        super().action_leave()


def shown(found: Shown) -> Sheet:
    """What there is to read in an answer."""
    return Once(found.title, found.rows, found.secret) if found.secret else Sheet(found.title, found.rows)


def facts(found: Iterable[tuple[str, str]]) -> list[Pieces]:
    """A row for each name that has a value."""
    given = [(name, value) for name, value in found if value]
    width = max((len(name) for name, _ in given), default=0)
    return [[(f"{name:<{width}}  ", "muted"), (value, "fg")] for name, value in given]
