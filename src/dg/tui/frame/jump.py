"""`f2` gives a letter to everything that can have the focus, and to each page; the letter goes there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from dg.tui.frame import bar
from dg.tui.frame.pages import Pages
from dg.tui.ink import paragraph
from dg.tui.steady import Modal

if TYPE_CHECKING:
    from dg.tui.app import Dashboard
    from dg.tui.frame.view import View

LETTERS = "asdfghjklqwertyuiopzxcvbnm"
"""Under the fingers first."""


@dataclass(frozen=True)
class Place:
    """Where a letter stands, and what it does."""

    letter: str
    x: int
    y: int
    go: Callable[[], Any]


def places(dashboard: Dashboard, view: View) -> list[Place]:
    """Everything on a screen that can be gone to; the screens themselves by their numbers."""
    found = [*_boxes(view), *_pages(view)]
    lettered = [Place(letter, x, y, go) for letter, (x, y, go) in zip(LETTERS, found, strict=False)]
    numbered = [
        Place(key, x, 0, partial(dashboard.action_go, mode))
        for mode, key, x in bar.places(dashboard.tabs, dashboard.size.width)
    ]
    return [*lettered, *numbered]


def _boxes(view: View) -> Iterator[tuple[int, int, Callable[[], Any]]]:
    for widget in view.focus_chain:
        seen = widget.region.intersection(view.region)
        if seen.area:
            yield seen.x + (1 if seen.width > 3 else 0), seen.y, widget.focus


def _pages(view: View) -> Iterator[tuple[int, int, Callable[[], Any]]]:
    for pages in view.query(Pages):
        if pages.region.intersection(view.region).area:
            for name, x in pages.places():
                at = pages.content_region
                yield at.x + x, at.y, partial(pages.open, name, focus=True)


class Jump(Modal):
    """The letters over the screen; any other key takes them away."""

    CSS = """
    Jump { background: $background 40%; }
    Jump Static { position: absolute; width: auto; height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave", id="jump.leave")]

    def __init__(self, found: Iterable[Place]) -> None:
        super().__init__()
        self._places = {place.letter: place for place in found}

    @property
    def letters(self) -> str:
        """What can be pressed."""
        return "".join(self._places)

    def compose(self) -> ComposeResult:
        for place in self._places.values():
            mark = Static(paragraph([[(f" {place.letter} ", "warn badge")]]))
            mark.styles.offset = (place.x, place.y)
            yield mark

    def on_key(self, event: events.Key) -> None:
        event.stop()
        place = self._places.get(event.character or "")
        self.dismiss()
        if place is not None:
            self.app.call_later(place.go)

    def action_leave(self) -> None:
        self.dismiss()
