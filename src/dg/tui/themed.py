"""What the dashboard and the gallery of its widgets start from: dg's themes, and ASCII on request."""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

from rich.console import RenderableType
from textual._compositor import ChopsUpdate
from textual.app import App
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.screen import Screen

from dg.tui.ink import Door, label, printed
from dg.tui.palette import NIGHT, PALETTES, fitting
from dg.tui.spans import Spans

Result = TypeVar("Result")


STYLE = """
Screen { background: $background; }
.box {
    border: round $dg-border; border-title-color: $foreground; border-title-style: bold;
    border-subtitle-color: $dg-muted; padding: 0 1; background: $surface;
}
.box:focus, .box:focus-within { border: round $primary; }
Input > .input--placeholder, Input > .input--suggestion { color: $dg-muted; }
Footer { background: $panel; }
Toast { background: $panel; border-left: outer $primary; }
"""


class Themed(App[Result]):
    """Textual's app in dg's colours. `theme` is a palette's name; None is what fits the terminal."""

    ENABLE_COMMAND_PALETTE = False
    CSS = STYLE
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+q,q", "quit", "Quit", show=False, id="app.quit")]

    def __init__(self, *, theme: str | None = None, ascii: bool = False, **kwargs: Any) -> None:  # noqa: A002
        super().__init__(**kwargs)
        self._door = Door(ascii=ascii)
        for palette in PALETTES.values():
            self.register_theme(palette.theme())
        chosen = fitting(self.console.color_system, no_color=self.no_color)
        self.theme = chosen.name if theme is None or self.no_color else theme
        if os.environ.get("SSH_TTY"):
            self.animation_level = "none"

    def get_theme_variable_defaults(self) -> dict[str, str]:
        # A theme that is not dg's own lacks dg's variables, and a style sheet that names one ends the app.
        return dict(NIGHT.variables())

    @property
    def ascii_only(self) -> bool:
        """Whether signs are drawn in ASCII."""
        return self._door.ascii

    @ascii_only.setter
    def ascii_only(self, on: bool) -> None:
        # Textual keeps what a filter made of a line by the filter: another one makes every line anew.
        self._door = Door(ascii=on)
        self.refresh_css()

    def get_line_filters(self) -> Sequence[LineFilter]:
        return [*super().get_line_filters(), self._door]

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        if isinstance(renderable, ChopsUpdate):
            renderable = Spans.of(renderable)
        super()._display(screen, renderable)

    def _fatal_error(self) -> None:
        if self._exit_renderables:
            # What follows from the first one says nothing more.
            return
        # Textual's own shows the variables of every frame, a token among them, and in colours.
        self.panic(printed(self._report(traceback.format_exc())))

    def _report(self, trace: str) -> str:
        """Where the traceback was written to; itself, where it could not be."""
        from dg.client.private import state_folder
        from dg.core.home import write_private

        folder = state_folder(os.environ)
        last = trace.strip().splitlines()[-1]
        if folder is None:
            return trace
        path = folder / f"crash-{os.getpid()}.log"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(path, trace)
        except OSError:
            return trace
        return f"dg: the dashboard ended with an error ({last}); the whole of it is in {path}"

    def tell(self, text: str, *, wrong: bool = False, title: str = "") -> None:
        """Show a message for some seconds; its text is never read as markup."""
        shown = label(text).plain
        self.notify(shown, title=title, severity="error" if wrong else "information", markup=False)
