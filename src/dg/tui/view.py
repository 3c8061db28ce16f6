"""What all screens have in common: the first line, and boxes that say how old they are."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, cast

from textual.screen import Screen

from dg.tui.drawing import ago
from dg.tui.ink import Pieces, label
from dg.tui.store import Store, Topic
from dg.tui.widgets.panel import Panel

if TYPE_CHECKING:
    from dg.tui.app import Dashboard

BOXES = ".box"


class View(Screen[None]):
    """A screen that shows what the store holds. `show` is called when some of that has changed."""

    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012  Textual declares it so
        (0, "-narrow"),
        (100, "-middle"),
        (130, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-low"),
        (20, "-short"),
        (30, "-mid"),
        (42, "-tall"),
    ]
    MODE = ""
    """Which tab of the first line is lit."""

    @property
    def dashboard(self) -> Dashboard:
        return cast("Dashboard", self.app)

    @property
    def store(self) -> Store:
        return self.dashboard.store

    @property
    def now(self) -> int:
        """Microseconds; without a connection time stands still, so that nothing moves that is not known."""
        return self.dashboard.clock.micros() if self.store.link.live else self.store.at

    def bar(self) -> Panel:
        """The first line."""
        self._line = Panel(self._top, id="bar")
        return self._line

    def _top(self, width: int, _: int) -> list[Pieces]:
        return [self.dashboard.first_line(self.MODE, width)]

    def show(self, topics: frozenset[Topic]) -> None:
        """Bring up to date what hangs on these."""
        raise NotImplementedError

    def subtitles(self) -> Mapping[str, str]:
        """What the boxes say at their lower edge, by id."""
        return {}

    def show_all(self) -> None:
        """Everything anew."""
        self.show(frozenset({"link", "rights", "lanes", "deployments", "progress", "activity"}))
        self.show_frame()

    def show_frame(self) -> None:
        """The first line, and what stands in the borders."""
        live = self.store.link.live
        self.set_class(not live, "-stale")
        said = self.subtitles()
        for box in self.query(BOXES):
            text = said.get(box.id or "", "") if live else self._stale()
            if box.border_subtitle != text:
                box.border_subtitle = label(text)
        self._line.redraw()

    def _stale(self) -> str:
        if not self.store.at:
            return "not connected yet"
        return f"stale: as of {ago(self.store.at, self.dashboard.clock.micros())} ago"

    def begin(self, group: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Work in the background, in place of what its group still does; it ends with the screen."""
        self.run_worker(work, group=group, exclusive=True)

    def tick(self) -> None:
        """A second has gone by."""
        self.show_frame()

    def on_mount(self) -> None:
        self.show_all()

    def on_screen_resume(self) -> None:
        self.show_all()
