"""The environments: how well they are, what they hold, how that came to be, and what can be changed of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Footer

from dg.core.errors import Invalid, Problem
from dg.core.text import counted
from dg.tui.actions import Act
from dg.tui.background import begin
from dg.tui.confirm import Confirm
from dg.tui.drawing import place
from dg.tui.environments import acts, contents, drawing, probes, reading, sheets
from dg.tui.environments.probes import ProbeRow
from dg.tui.environments.reading import WINDOWS, Known
from dg.tui.errors import sentence
from dg.tui.ink import Pieces, label
from dg.tui.pages import Pages
from dg.tui.sheet import facts
from dg.tui.store import Topic
from dg.tui.view import View
from dg.tui.views import ENVIRONMENTS, PRODUCTION, LaneView
from dg.tui.widgets.chart import Marker, Picture, Series, TimeChart
from dg.tui.widgets.panel import Panel
from dg.tui.widgets.table import Column, Table

if TYPE_CHECKING:
    from dg.core.environments.models import EnvironmentState

EVERY = 10.0
"""Seconds between two looks at the health of what is seen: how long an answer takes is no event."""
TOLD = ("environment.", "drift.", "keyring.", "backup.")
"""How facts begin after which what is shown here is another."""
RIGHTS = {
    "edit": "environment:update",
    "add": "environment:update",
    "secret": "secret:update",
    "unset": "secret:update",
    "restore": "environment:update",
    "accept": "drift:accept",
    "back_up": "backup:create",
    "try_probe": "probe:test",
}
"""What each key takes that changes something here."""
PAGES = ("config", "history", "compare", "drift", "backups")
"""What is seen of an environment beside its health."""
PAGE_OF = {
    "edit": "config",
    "unset": "config",
    "accept": "drift",
}
"""Keys for the row under the cursor of one page."""


class Environments(View):
    """Environments at the left, the one under the cursor at the right."""

    MODE = "environments"
    CSS = """
    Environments #left { width: 34; }
    Environments #list { height: 6; }
    Environments #trouble { height: 1fr; }
    Environments #right { width: 1fr; }
    Environments #head { height: 6; }
    Environments #rest { height: 1fr; }
    Environments #health { width: 50%; height: 1fr; }
    Environments #probes { height: 1fr; }
    Environments #chart { height: 13; }
    Environments #pages { width: 1fr; padding: 0 1; border: round $dg-border; background: $surface; }
    Environments #pages:focus-within { border: round $primary; }
    Environments.-mid #chart { height: 9; }
    Environments.-middle #rest { layout: vertical; }
    Environments.-middle #health { width: 1fr; }
    Environments.-short #head { height: 5; }
    Environments.-middle #chart, Environments.-short #chart, Environments.-low #chart { display: none; }
    Environments.-narrow #left { width: 32; }
    Environments.-narrow #health { display: none; width: 1fr; }
    Environments.-narrow.-at-health #health { display: block; }
    Environments.-narrow.-at-health #pages { display: none; }
    Environments.-low #head { display: none; }
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
        Binding("e", "edit", "Edit", id="environments.edit"),
        Binding("n", "add", "New key", show=False, id="environments.add"),
        Binding("s", "secret", "Secret", show=False, id="environments.secret"),
        Binding("delete", "unset", "Unset", show=False, id="environments.unset"),
        Binding("v", "restore", "Restore", id="environments.restore"),
        Binding("A", "accept", "Accept drift", id="environments.accept"),
        Binding("b", "back_up", "Back up", id="environments.back-up"),
        Binding("T", "try_probe", "Try probe", show=False, id="environments.try"),
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
        self._list = Table[str](self._list_columns(), lambda name: name, id="list", classes="box")
        self._probes = Table[ProbeRow](
            probes.probe_columns(), lambda row: row.key, empty="no probes yet", id="probes", classes="box"
        )
        self._entries = _table(contents.entry_columns(), lambda row: row.key, "not configured yet")
        self._versions = _table(
            contents.version_columns(lambda: self.now), lambda row: str(row.version), "never configured"
        )
        self._drift = _table(
            drawing.drift_columns(), lambda row: row.service, "nothing says here what runs: dg env runs"
        )
        self._differences = _table(contents.difference_columns(), lambda row: row.key, "nothing differs")
        self._backups = _table(
            drawing.backup_columns(lambda: self.now), lambda row: row.id, "no backup yet: b makes one"
        )
        pages = (self._entries, self._versions, self._differences, self._drift, self._backups)
        self._pages = Pages(
            dict(zip(PAGES, pages, strict=True)),
            id="pages",
            classes="box",
        )
        self._head_box = Panel(self._head, id="head", classes="box")
        self._chart = TimeChart(empty="no answers in this time", id="chart", classes="box")
        self._trouble = Panel(self._troubled, id="trouble", classes="box")
        self._list.border_title = label("environments")
        self._trouble.border_title = label("trouble")

    def _list_columns(self) -> Sequence[Column[str]]:
        return (
            Column("name", "environment", lambda name: [place(name)], 11),
            Column("health", "health", lambda name: drawing.standing(self._of(name)), 1, flex=True),
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
        yield Footer(show_command_palette=False)

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
            await feed.call(lambda dg: reading.read_all(dg, self.known))
            if name not in self.known and self.known:
                name = self._place = next(iter(self.known))
            await self._read_one(name)
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
        self._probes.replace(probes.probes(found.health, found.past) if found.health else ())
        self._entries.replace(contents.entries(found.state) if found.state else ())
        self._versions.replace(found.versions)
        self._drift.replace(found.drift)
        self._differences.replace(found.other.items if found.other else ())
        self._backups.replace(found.backups)
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
        return drawing.head(self.found, width, height, self.now)

    def _troubled(self, width: int, height: int) -> list[Pieces]:
        return drawing.trouble(self.known, width)[:height]

    def tick(self) -> None:
        super().tick()
        for each in (self._list, self._trouble, self._head_box, self._probes, self._pages.table):
            each.redraw()

    def subtitles(self) -> Mapping[str, str]:
        found, page = self.found, self._pages.current
        wrong, keys = found.wrong.get(page), counted(len(self._entries), "key")
        said = {
            "config": "e edits · s sets a secret" if self._may("edit") else keys,
            "history": f"{counted(len(found.versions), 'version')} · enter shows one",
            "compare": f"{len(self._differences)} differ · c compares with another",
            "drift": f"{len(found.drift)} checked",
            "backups": f"{len(found.backups)} kept",
        }[page]
        unread, tries = found.wrong.get("health"), "T tries one · " if self._may("try_probe") else ""
        probes = counted(len(self._probes), "probe")
        return {
            "pages": f"✗ {wrong}" if wrong else said,
            "probes": f"✗ {unread}" if unread else f"{probes} · {tries}w {self._window}",
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
        if event.table is self._list:
            self._focus_page()
        else:
            self._open(event.table.selected)

    def _focus_page(self) -> None:
        (self._probes if self._at_health else self._pages.table).focus()

    @property
    def _at_health(self) -> bool:
        return self.has_class("-narrow") and self.has_class("-at-health")

    def _open(self, row: Any) -> None:
        """A row in full."""
        state = self.state
        if row is None or state is None:
            return
        now = self.now
        match self.focused:
            case self._probes:
                sheets.show(self, state, row.key, facts(probes.probe_facts(row.reading, now)))
            case self._entries:
                sheets.show_entry(self, state, row)
            case self._versions:
                sheets.show_version(self, state, row)
            case self._differences:
                sheets.show(self, state, row.key, facts(contents.difference_facts(row)))
            case self._drift:
                sheets.show(self, state, row.service, facts(drawing.drift_facts(row, now)))
            case self._backups:
                sheets.show(self, state, row.id, facts(drawing.backup_facts(row, now)))
            case _:
                pass

    def action_turn(self, pages: int) -> None:
        """The next page, or the one before; where there is room for one alone, health is one of them."""
        focus = self._list.has_focus is False
        if not self.has_class("-narrow"):
            names = self._pages.names
            now = names.index(self._pages.current)
            self._pages.open(names[(now + pages) % len(names)], focus=focus)
        else:
            self._turn_all(pages, focus=focus)
        self._title()
        self.show_frame()
        self.refresh_bindings()

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

    # Changing

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        right = RIGHTS.get(action)
        if right is None:
            return super().check_action(action, parameters)
        if action == "restore" and self._seen("backups"):
            right = "backup:restore"
        if not self._applies(action) or not self.dashboard.hands.may(right, self._place):
            return False
        return True if self.store.link.live else None

    def _may(self, action: str) -> bool:
        return self.dashboard.hands.may(RIGHTS[action], self._place)

    def _seen(self, page: str) -> bool:
        return self._pages.current == page and not self._at_health

    def _applies(self, action: str) -> bool:
        if self.state is None or (action in PAGE_OF and not self._seen(PAGE_OF[action])):
            return False
        entry = self._entries.selected
        match action:
            case "edit":
                return entry is not None
            case "unset":
                return entry is not None and entry.secret is not None
            case "restore":
                return self._restorable
            case "accept":
                drift = self._drift.selected
                return drift is not None and drift.status.value == "drifted"
            case "try_probe":
                row = self._probes.selected
                return row is not None and row.reading.kind != "heartbeat"
            case _:
                return True

    @property
    def _restorable(self) -> bool:
        """Whether the row under the cursor holds something else than what is so now."""
        if self._seen("backups"):
            return self._backups.selected is not None
        version, state = self._versions.selected, self.state
        newest = version is None or state is None or version.version == state.version
        return self._seen("history") and not newest

    def _confirm(self, make: Callable[[EnvironmentState], Act]) -> None:
        if (state := self.state) is not None:
            self.app.push_screen(Confirm(make(state)))

    def action_edit(self) -> None:
        entry = self._entries.selected
        if entry is not None and entry.secret is not None:
            self._confirm(lambda state: acts.set_secret(state, entry.shown))
        elif entry is not None:
            self._confirm(lambda state: acts.edit(state, entry))

    def action_add(self) -> None:
        self._confirm(acts.edit)

    def action_secret(self) -> None:
        entry = self._entries.selected if self._seen("config") else None
        name = entry.shown if entry is not None else ""
        self._confirm(lambda state: acts.set_secret(state, name))

    def action_unset(self) -> None:
        if (entry := self._entries.selected) is not None:
            self._confirm(lambda state: acts.unset_secret(state, entry.shown))

    def action_restore(self) -> None:
        """What the row under the cursor held: a version, or a backup."""
        version, backup = self._versions.selected, self._backups.selected
        if self._seen("backups") and backup is not None:
            self._confirm(lambda state: acts.restore_backup(state, backup, self.now))
        elif version is not None:
            self._confirm(lambda state: acts.restore(state, version))

    def action_accept(self) -> None:
        if (drift := self._drift.selected) is not None:
            self._confirm(lambda state: acts.accept_drift(state, drift))

    def action_back_up(self) -> None:
        self._confirm(lambda state: acts.back_up(state, self.now))

    def action_try_probe(self) -> None:
        row, state = self._probes.selected, self.state
        if row is not None and state is not None:
            sheets.try_probe(self, state, row.reading)


def _table(columns: Sequence[Column[Any]], key: Callable[[Any], str], empty: str) -> Table[Any]:
    return Table(columns, key, empty=empty)
