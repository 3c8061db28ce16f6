"""`S` keeps the filter of a screen under a name, by which it is found again as `@name`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.suggester import Suggester
from textual.widgets import Input, Static

from dg.core.errors import Invalid
from dg.tui.filters import SavedFilters
from dg.tui.hints import hint
from dg.tui.ink import Pieces, label, paragraph
from dg.tui.steady import Modal

if TYPE_CHECKING:
    from dg.tui.app import Dashboard


class Keep(Modal):
    """Asks for the name."""

    CSS = """
    Keep { align: center middle; background: $background 60%; }
    Keep #box {
        width: 72; max-width: 100%; height: auto; padding: 1 2; background: $surface; border: round $primary;
    }
    Keep Input { border: none; height: 1; padding: 0; background: $panel; margin: 1 0; }
    Keep Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave", id="keep.leave")]

    def __init__(self, mode: str, text: str) -> None:
        super().__init__()
        self._mode, self._text = mode, text
        self._field = Input(placeholder="prod-failed", id="name", compact=True)
        self._said = Static("", id="said")
        self._box = Vertical(id="box")
        self._box.border_title = label("keep this filter")

    def compose(self) -> ComposeResult:
        with self._box:
            yield Static(paragraph([[(self._text, "fg bold")]]))
            yield self._field
            yield self._said

    def on_mount(self) -> None:
        self._box.border_subtitle = label(f"enter keeps · {hint(self, 'keep.leave', 'leaves')}")
        self._field.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        dashboard, name = cast("Dashboard", self.app), event.value.strip().removeprefix("@")
        try:
            dashboard.saved_filters.save(self._mode, name, self._text)
        except Invalid as wrong:
            self._say([(f"✗ {wrong.message}", "err")])
        except OSError as error:
            self._say([(f"✗ kept until the dashboard ends: it cannot be written ({error.strerror})", "warn")])
        else:
            dashboard.tell(f"kept: /@{name}, or :{self._mode} @{name}")
            self.dismiss()

    def _say(self, pieces: Pieces) -> None:
        self._said.update(paragraph([pieces]))

    def action_leave(self) -> None:
        self.dismiss()


class Kept(Suggester):
    """Suggests the names of the filters that are kept of a screen."""

    def __init__(self, saved: SavedFilters, mode: str) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._saved, self._mode = saved, mode

    async def get_suggestion(self, value: str) -> str | None:
        names = (f"@{name}" for name in self._saved.names().get(self._mode, ()))
        return next((name for name in names if value and name.startswith(value)), None)
