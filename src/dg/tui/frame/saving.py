"""The line that asks where something is to be saved, and saves it there: a new file, its owner's alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import App
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input

from dg.client.private import write_new
from dg.core.errors import Problem
from dg.tui.background import begin
from dg.tui.errors import sentence

if TYPE_CHECKING:
    from dg.tui.app import Dashboard


ACTIONS = frozenset({"save", "receipt", "write"})
"""What keys do that end in a file."""


def may_save(app: App[None], action: str) -> bool:
    """Whether a key has its meaning here: who sits at a browser has no business with this machine's files."""
    return action not in ACTIONS or not app.is_web


class Save(Input):
    """Hidden until `ask`. A file that is there already stays as it is, and the question stays open."""

    DEFAULT_CSS = """
    Save { display: none; height: 1; border: none; padding: 0 1; background: $panel; }
    Save:focus { border: none; }
    Save.-on { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "save", "Save", id="save.save"),
        Binding("escape", "leave", "Leave", id="save.leave"),
    ]

    def __init__(self) -> None:
        super().__init__(placeholder="the path of a new file", select_on_focus=False, compact=True)
        self._text: Callable[[], str] = str
        self._what = ""
        self._back: Widget | None = None

    def ask(self, what: str, path: str, text: Callable[[], str], back: Widget) -> None:
        """Ask where `what` is to go; `text` is called when that is known, and `back` has the cursor then.

        Raises RuntimeError in a browser, where no key may lead here.
        """
        if self.app.is_web:
            raise RuntimeError("nothing is saved on the machine of `dg web`")
        self._what, self._text, self._back = what, text, back
        self.value = path
        self.cursor_position = len(path)
        self.add_class("-on")
        self.focus()

    def action_leave(self) -> None:
        """Save nothing."""
        self.remove_class("-on")
        if self._back is not None:
            self._back.focus()

    def action_save(self) -> None:
        """Write the file, unless there is one of that name."""
        if self.value.strip():
            begin(self, "save", self._save)

    async def _save(self) -> None:
        app = cast("Dashboard", self.app)
        try:
            path = _path(self.value)
            await asyncio.to_thread(write_new, path, self._text())
        except Problem as problem:
            app.tell(sentence(problem), wrong=True)
        except RuntimeError:
            # Whose home that would be is not known.
            app.tell(f"{self.value} is no path of a file: write it out", wrong=True)
        else:
            self.action_leave()
            app.tell(f"saved {self._what} in {path}")


def _path(text: str) -> Path:
    """What was typed, `~` and all. Raises RuntimeError for a home that is not known."""
    return Path(text.strip()).expanduser().absolute()
