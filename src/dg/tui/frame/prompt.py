"""One line that a person is asked for before something is shown or written: closed with escape."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from dg.tui.hints import hint
from dg.tui.ink import label, paragraph
from dg.tui.steady import Modal


class Prompt(Modal):
    """Asks with `title`; `take` gets what was typed, and says what is wrong with it, or nothing."""

    CSS = """
    Prompt { align: center middle; background: $background 60%; }
    Prompt #prompt {
        width: 76; max-width: 100%; height: auto; padding: 1 2; background: $surface; border: round $primary;
        border-title-style: bold; border-subtitle-color: $dg-muted;
    }
    Prompt Input { border: none; height: 1; padding: 0; background: $panel; }
    Prompt Static { height: auto; margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave", id="prompt.leave")]

    def __init__(self, title: str, hint: str, take: Callable[[str], str], *, value: str = "") -> None:
        super().__init__()
        self._take = take
        self._box = Vertical(id="prompt")
        self._box.border_title = label(title)
        self._input = Input(value, placeholder=hint, compact=True)
        self._said = Static(paragraph([[(hint, "muted")]]))

    def compose(self) -> ComposeResult:
        with self._box:
            yield self._input
            yield self._said

    def on_mount(self) -> None:
        self._box.border_subtitle = label(f"enter goes on · {hint(self, 'prompt.leave', 'leaves')}")
        self._input.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if wrong := self._take(event.value.strip()):
            self._said.update(paragraph([[(wrong, "err bold")]]))
        else:
            self.dismiss()

    def action_leave(self) -> None:
        self.dismiss()
