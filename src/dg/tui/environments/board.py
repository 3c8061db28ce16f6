"""What the environments screen shows: how well they are, what they hold, and how that came to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical

from dg.core.errors import Invalid, Problem
from dg.core.text import counted
from dg.tui.background import begin
from dg.tui.drawing import place
from dg.tui.environments import reading, sheets
from dg.tui.environments.drawing import health, probes
from dg.tui.environments.reading import WINDOWS, Known
from dg.tui.environments.tables import PAGES, Tables
from dg.tui.errors import sentence
from dg.tui.frame.foot import Foot
from dg.tui.frame.pages import Pages
from dg.tui.frame.view import View
from dg.tui.hints import hint, offered
from dg.tui.ink import Pieces, label
from dg.tui.store import Topic
from dg.tui.views import ENVIRONMENTS, PRODUCTION, LaneView
from dg.tui.widgets.chart import Marker, Picture, Series, TimeChart
from dg.tui.widgets.panel import Panel
from dg.tui.widgets.table import Column, Table

if TYPE_CHECKING:
    from dg.core.environments.models import EnvironmentState

EVERY = 10.0
"""Seconds between two looks at the health of what is seen: how long an answer takes is no event."""
TOLD = ("environment.", "drift.", "keyring.", "backup.", "freeze.", "version.")
"""How facts begin after which what is shown here is another."""
LANES = 30
"""Lanes whose blocks are read, at most: each takes a request."""


class Board(View):
    """Environments at the left, the one under the cursor at the right."""

    MODE = "environments"
    TWINS: ClassVar = {
        "environments": "dg env list",
        "health": "dg health",
        "probes": "dg probe list",
        "config": "dg env show",
        "history": "dg env history",
        "compare": "dg env diff",
        "drift": "dg env drift",
        "lanes": "dg lane list",
        "backups": "dg backup list",
    }
    SCOPED_CSS = False
    # Else Textual would look for a board inside of the screen that is one.
    CSS = """
    Board #left { width: 34; }
    Board #list { height: 6; }
    Board #trouble { height: 1fr; }
    Board #right { width: 1fr; }
    Board #head { height: 6; }
    Board #rest { height: 1fr; }
    Board #health { width: 50%; height: 1fr; }
    Board #probes { height: 1fr; }
    Board #chart { height: 13; }
    Board #pages { width: 1fr; padding: 0 1; border: round $dg-border; background: $surface; }
    Board #pages:focus-within { border: round $primary; }
    Board.-mid #chart { height: 9; }
    Board.-middle #rest { layout: vertical; }
    Board.-middle #health { width: 1fr; }
    Board.-short #head { height: 5; }
    Board.-middle #chart, Board.-short #chart, Board.-low #chart { display: none; }
    Board.-narrow #left { width: 32; }
    Board.-narrow #health { display: none; width: 1fr; }
    Board.-narrow.-at-health #health { display: block; }
    Board.-narrow.-at-health #pages { display: none; }
    Board.-low #head { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right_square_bracket,l", "turn(1)", "Next page", key_display="]", id="environments.next"),
        Binding(
            "left_square_bracket,h",
            "turn(-1)",
            "Page before",
            key_display="[",
            show=False,
            id="environments.back",
        ),
        Binding("c", "compare", "Compare", show=False, id="environments.compare"),
        Binding("w", "window", "Window", show=False, id="environments.window"),
        Binding("escape", "back", "Back", show=False, id="environments.list"),
        Binding("r", "refresh", "Refresh", show=False, id="view.refresh"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, Known] = {}
        self._place = ENVIRONMENTS[0]
        self._wanted = ""
        self._other = 0
        self._window = "1h"
        self._heard = 0
        self._read_at = 0
        self._wrong = ""
        self._list = Table[str](
            self._list_columns(), lambda name: name, empty=health.UNREAD, id="list", classes="box"
        )
        self._tables = Tables(lambda: self.now, partial(offered, self))
        self._probes = self._tables.probes
        self._pages = Pages(self._tables.pages, id="pages", classes="box")
        self._head_box = Panel(self._head, id="head", classes="box")
        self._chart = TimeChart(empty="no answers in this time", id="chart", classes="box")
        self._trouble = Panel(self._troubled, id="trouble", classes="box")
        self._list.border_title = label("environments")
        self._trouble.border_title = label("trouble")

    def _list_columns(self) -> Sequence[Column[str]]:
        return (
            Column("name", "environment", lambda name: [place(name)], 11),
            Column("health", "health", lambda name: health.standing(self._of(name)), 1, flex=True),
        )

    def compose(self) -> ComposeResult:
        yield self.bar()
        with Horizontal(id="body", classes="content"):
            with Vertical(id="left"):
                yield self._list
                yield self._trouble
            with Vertical(id="right"):
                yield self._head_box
                with Horizontal(id="rest"):
                    with Vertical(id="health"):
                        yield self._probes
                        yield self._chart
                    yield self._pages
        yield Foot()

    def on_mount(self) -> None:
        self._list.focus()
        self.set_interval(EVERY, self._look_again)

    # What it knows

    def _of(self, name: str) -> Known:
        return self.known.get(name, Known())

    @property
    def found(self) -> Known:
        """What is known of the environment under the cursor."""
        return self._of(self._place)

    @property
    def state(self) -> EnvironmentState | None:
        return self.found.state

    @property
    def other(self) -> str:
        """The environment that it is compared with."""
        others = [name for name in self.known if name != self._place] or [self._place]
        return others[self._other % len(others)]

    @property
    def lane(self) -> LaneView | None:
        """The one under the cursor, else the first here."""
        row = self._tables.lanes.selected
        if self._pages.current == "lanes" and row is not None and row.lane is not None:
            return row.lane
        return next((lane for lane in self.store.lanes.values() if lane.environment == self._place), None)

    # Reading

    def show(self, topics: frozenset[Topic]) -> None:
        if topics & {"link", "rights"} and self.store.link.live and not self._read_at:
            self.read()
        newest = max((fact.seq for fact in self.store.activity if fact.type.startswith(TOLD)), default=0)
        if newest > self._heard:
            self._heard = newest
            self.read()
        if topics & {"link"} and not self.store.link.live:
            self._read_at = 0
        self._draw()

    def read(self) -> None:
        """Ask for everything that is shown."""
        if self.store.link.live:
            self._read_at = self.now
            begin(self, "environments", self._read)

    async def _read(self) -> None:
        feed, name = self.dashboard.feed, self._place
        try:
            await feed.call(lambda dg: reading.read_states(dg, self.known))
            if name not in self.known and self.known:
                name = self._place = next(iter(self.known))
            await self._read_one(name)
            self._draw()
            await feed.call(lambda dg: reading.read_all(dg, self.known))
            self._wrong = ""
        except Problem as problem:
            self._wrong = sentence(problem)
        self._draw()

    async def _read_one(self, name: str) -> None:
        found, other = self.known.get(name), self.other
        if found is not None:
            await self.dashboard.feed.call(
                lambda dg: reading.read_one(dg, name, found, other, self._window, self.now)
            )
            await self._read_closing(name, found)

    async def _read_closing(self, name: str, found: Known) -> None:
        services = [lane.service for lane in self.store.lanes.values() if lane.environment == name][:LANES]
        if self._pages.current == "lanes":
            await self.dashboard.feed.call(lambda dg: reading.read_closing(dg, name, found, services))

    def _look_again(self) -> None:
        if self.is_current and self.store.link.live:
            begin(self, "health", self._read_now)

    async def _read_now(self) -> None:
        for name, found in list(self.known.items()):
            await self._try(partial(reading.read_now, name=name, found=found))
        await self._read_past()

    async def _read_past(self) -> None:
        name, found = self._place, self.found
        if name in self.known:
            await self._try(lambda dg: reading.read_past(dg, name, found, self._window, self.now))
        self._draw()

    async def _try(self, ask: Callable[[Any], Any]) -> None:
        try:
            await self.dashboard.feed.call(ask)
        except Problem as problem:
            self._wrong = sentence(problem)

    # Drawing

    def _draw(self) -> None:
        found = self.found
        self._list.replace(self.known)
        if self._wanted in self.known:
            # Its cursor stands on a name only when the names are there.
            self._list.select(self._wanted)
            self._wanted = ""
        self._head_box.border_title = label(self._place.upper() if self._place == PRODUCTION else self._place)
        self._head_box.set_class(self._place == PRODUCTION, "-production")
        self._head_box.redraw()
        self._trouble.redraw()
        self._tables.fill(found, self._place, self.store.lanes.values())
        self._draw_chart()
        self._title()
        self.show_frame()
        self.refresh_bindings()

    def _title(self) -> None:
        self._probes.border_title = label(f"health · {self._window}")
        page = self._pages.current
        if page == "compare" and (found := self.found.other) is not None:
            page = f"{found.before} → {found.after}"
        self._pages.border_title = label(page)

    def _draw_chart(self) -> None:
        found, row = self.found, self._probes.selected
        past = found.past
        if past is None or row is None:
            self._chart.border_title = label("answers")
            return
        series = next((each for each in past.items if each.probe == row.key), None)
        values, step = probes.times(series, past)
        markers = tuple(
            Marker(each.completed_at, each.version)
            for each in self.store.deployments.values()
            if each.environment == self._place
            and each.service == row.reading.service
            and each.completed_at is not None
            and each.completed_at >= past.since
        )
        self._chart.border_title = label(f"{row.key} · ms · {self._window}")
        self._chart.show(Picture((Series(row.key, values, area=True),), past.until, step, markers=markers))

    def _head(self, width: int, height: int) -> list[Pieces]:
        if self._wrong and self.state is None:
            return [[(f"✗ {self._wrong}", "err")]]
        return health.head(self.found, width, height, self.now)

    def _troubled(self, width: int, height: int) -> list[Pieces]:
        return health.trouble(self.known, width)[:height]

    def tick(self) -> None:
        super().tick()
        for each in (self._list, self._trouble, self._head_box, self._probes, self._pages.table):
            each.redraw()

    def subtitles(self) -> Mapping[str, str]:
        found, page = self.found, self._pages.current
        wrong = found.wrong.get(page)
        unread = found.wrong.get("health")
        probes = counted(len(self._probes), "probe")
        return {
            "pages": f"✗ {wrong}" if wrong else self._tables.said(page),
            "probes": f"✗ {unread}"
            if unread
            else f"{probes} · {hint(self, 'environments.window', self._window)}",
            "head": f"✗ {self._wrong}" if self._wrong else "",
        }

    # Moving

    @classmethod
    def check(cls, wanted: str) -> None:
        """An environment, and one of its pages. Raises Invalid."""
        name, _, page = wanted.partition(" ")
        if name and name not in ENVIRONMENTS:
            raise Invalid(f"there is no environment of that name; there are {', '.join(ENVIRONMENTS)}")
        if page and page not in PAGES:
            raise Invalid(f"there is no page of that name; there are {', '.join(PAGES)}")

    def look_for(self, wanted: str) -> None:
        """Show an environment, and one of its pages."""
        self._wanted, _, page = wanted.partition(" ")
        if page:
            self.remove_class("-at-health")
            self._pages.open(page)
            self._turned()
        self._draw()

    def on_table_moved(self, event: Table.Moved) -> None:
        if event.table is self._list and event.key is not None and event.key != self._place:
            self._place = event.key
            self._draw()
            begin(self, "environments", self._read)
        elif event.table is self._probes:
            self._draw_chart()
        self.refresh_bindings()

    def on_table_opened(self, event: Table.Opened) -> None:
        """A row in full; of an environment, its page."""
        row, state = event.table.selected, self.state
        if event.table is self._list:
            self._focus_page()
        elif row is not None and state is not None:
            page = "health" if event.table is self._probes else self._pages.page_of(event.table)
            sheets.show_row(self, state, page, row)

    def _focus_page(self) -> None:
        (self._probes if self._at_health else self._pages.table).focus()

    @property
    def _at_health(self) -> bool:
        return self.has_class("-narrow") and self.has_class("-at-health")

    def action_turn(self, pages: int) -> None:
        """The next page, or the one before; where there is room for one alone, health is one of them."""
        focus = self._list.has_focus is False
        if not self.has_class("-narrow"):
            names = self._pages.names
            now = names.index(self._pages.current)
            self._pages.open(names[(now + pages) % len(names)], focus=focus)
        else:
            self._turn_all(pages, focus=focus)
        self._turned()

    def _turned(self) -> None:
        if self._pages.current == "lanes":
            begin(self, "closing", partial(self._read_lanes, self._place, self.found))
        self._title()
        self.show_frame()
        self.refresh_bindings()

    async def _read_lanes(self, name: str, found: Known) -> None:
        try:
            await self._read_closing(name, found)
        except Problem as problem:
            self._wrong = sentence(problem)
        self._draw()

    def _turn_all(self, pages: int, *, focus: bool) -> None:
        names = ("health", *self._pages.names)
        now = 0 if self._at_health else names.index(self._pages.current)
        name = names[(now + pages) % len(names)]
        self.set_class(name == "health", "-at-health")
        if name != "health":
            self._pages.open(name, focus=focus)
        elif focus:
            self._probes.focus()

    def action_back(self) -> None:
        self._list.focus()

    def action_refresh(self) -> None:
        self.dashboard.action_retry()
        self.read()

    def action_compare(self) -> None:
        """The next of the others."""
        self._other += 1
        self._pages.open("compare")
        self.remove_class("-at-health")
        begin(self, "environments", self._read)
        self._draw()

    def action_window(self) -> None:
        """Show the next longer time, behind the longest the shortest."""
        names = list(WINDOWS)
        self._window = names[(names.index(self._window) + 1) % len(names)]
        begin(self, "past", self._read_past)
        self._title()
