"""Who is signed in and what that gives, who else may come in, and the log of who did or tried what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Footer, Input

from dg.core.errors import NotFound, Problem
from dg.tui.access import acts, drawing, reading
from dg.tui.access.may import May
from dg.tui.access.reading import Seen
from dg.tui.actions import Act
from dg.tui.background import begin
from dg.tui.confirm import Confirm
from dg.tui.errors import sentence
from dg.tui.ink import Pieces, label
from dg.tui.pages import Pages
from dg.tui.sheet import Sheet, facts
from dg.tui.store import Topic
from dg.tui.view import View
from dg.tui.views import LaneView
from dg.tui.widgets.panel import Panel
from dg.tui.widgets.table import Column, Table

EVERY = 10.0
"""Seconds between two looks at the audit log while it is seen and something has happened."""
TOLD = ("session.", "key.", "token.", "role.", "binding.", "person.", "login.")
"""How facts begin after which somebody else may come in, or do something else."""
RIGHTS = {
    "sessions": "session:revoke",
    "keys": "key:revoke",
    "tokens": "token:revoke",
    "bindings": "binding:revoke",
}
"""What taking a row of a page back takes."""


class Access(View):
    """Oneself on top; pages of all that opens the server, and the audit log."""

    MODE = "access"
    CSS = """
    Access #you { height: 5; }
    Access #pages { height: 1fr; padding: 0 1; border: round $dg-border; background: $surface; }
    Access #pages:focus-within { border: round $primary; }
    Access.-low #you { display: none; }
    Access #filter { display: none; height: 1; border: none; padding: 0 1; background: $panel; }
    Access #filter.-on { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right_square_bracket,l", "turn(1)", "Next page", key_display="]", id="access.next"),
        Binding("left_square_bracket,h", "turn(-1)", "Page before", show=False, id="access.back"),
        Binding("D", "revoke", "Revoke", id="access.revoke"),
        Binding("c", "may", "May I?", id="access.may"),
        Binding("slash", "filter", "Filter", key_display="/", id="access.filter"),
        Binding("escape", "clear", "All", show=False, id="access.clear"),
        Binding("r", "refresh", "Refresh", show=False, id="view.refresh"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.seen = Seen()
        self._matching = ""
        self._heard = self._audited = 0
        self._fresh = False
        self._wrong = ""
        now = self._moment
        self._tables: dict[str, Table[Any]] = {
            "sessions": _table(drawing.session_columns(now, self._own), "nobody signed in"),
            "keys": _table(drawing.key_columns(now), "no API keys: dg key create"),
            "tokens": _table(drawing.token_columns(now), "no tokens: dg token create"),
            "bindings": _table(drawing.binding_columns(now), "no roles are given by hand"),
            "roles": Table(drawing.role_columns(), lambda row: row.name, empty="no roles"),
            "audit": Table(drawing.audit_columns(now), lambda row: str(row.seq), empty="nothing matches"),
        }
        self._pages = Pages(self._tables, id="pages", classes="box")
        self._you = Panel(self._yourself, id="you", classes="box")
        self._field = Input(placeholder="decision=denied env=production age<2h", id="filter", compact=True)
        self._you.border_title = label("you")

    def _moment(self) -> int:
        return self.now

    def _own(self) -> str | None:
        return self.seen.principal.session if self.seen.principal else None

    def compose(self) -> ComposeResult:
        yield self.bar()
        yield self._you
        yield self._pages
        yield self._field
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._pages.open("sessions", focus=True)
        self.set_interval(EVERY, self._look_again)

    @property
    def lane(self) -> LaneView | None:
        """None: no key here acts on a lane."""
        return None

    # Reading

    def show(self, topics: frozenset[Topic]) -> None:
        if topics & {"link", "rights"}:
            self._fresh = self._fresh and self.store.link.live
        newest = max((fact.seq for fact in self.store.activity if fact.type.startswith(TOLD)), default=0)
        if self.store.link.live and (newest > self._heard or not self._fresh):
            self._heard = max(newest, self._heard)
            self.read()
        self._draw()

    def read(self) -> None:
        """Ask for everything that is shown."""
        self._fresh = True
        begin(self, "access", partial(self._read, reading.read))

    def _look_again(self) -> None:
        moved = (self.store.seq or 0) > self._audited
        if self.is_current and self.store.link.live and self._pages.current == "audit" and moved:
            begin(self, "access", partial(self._read, reading.read_audit))

    async def _read(self, how: Callable[..., Any]) -> None:
        self._audited = self.store.seq or 0
        try:
            await self.dashboard.feed.call(lambda dg: how(dg, self.seen, self._matching))
        except Problem as problem:
            self._wrong = sentence(problem)
        else:
            self._wrong = ""
        self._draw()

    # Drawing

    def _draw(self) -> None:
        for name, table in self._tables.items():
            table.replace(getattr(self.seen, name))
        self._you.redraw()
        title = f"audit · {self._matching}" if self._matching and self._pages.current == "audit" else ""
        self._pages.border_title = label(title or self._pages.current)
        self.show_frame()
        self.refresh_bindings()

    def _yourself(self, _: int, height: int) -> list[Pieces]:
        if self._wrong:
            return [[(f"✗ {self._wrong}", "err")]]
        found = self.seen.principal
        return drawing.yourself(found, self.now)[:height] if found else [[("not read yet", "dim")]]

    def subtitles(self) -> Mapping[str, str]:
        wrong = self.seen.wrong.get(self._pages.current)
        return {"pages": f"✗ {wrong}" if wrong else f"{len(self._pages.table)} shown · enter shows one"}

    def tick(self) -> None:
        super().tick()
        self._pages.table.redraw()

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "filter":
            return self._pages.current == "audit"
        if action != "revoke":
            return super().check_action(action, parameters)
        right = RIGHTS.get(self._pages.current)
        row = self._pages.table.selected
        if right is None or row is None or row.revoked_at is not None or not self._may(right, row):
            return False
        return True if self.store.link.live else None

    def _may(self, right: str, row: Any) -> bool:
        """Whoever is signed in ends sessions of their own; all else takes a right."""
        hands, you = self.dashboard.hands, self.seen.principal
        if self._pages.current == "sessions" and you is not None and row.person == you.id:
            return not self.dashboard.read_only
        return hands.may_anywhere(right)

    def action_turn(self, pages: int) -> None:
        names = self._pages.names
        now = names.index(self._pages.current)
        self._pages.open(names[(now + pages) % len(names)], focus=True)
        self._draw()

    def action_may(self) -> None:
        self.app.push_screen(May())

    def action_refresh(self) -> None:
        self.dashboard.action_retry()
        if self.store.link.live:
            self.read()

    def action_revoke(self) -> None:
        row = self._pages.table.selected
        if row is not None:
            self.app.push_screen(Confirm(self._revoking(row)))

    def _revoking(self, row: Any) -> Act:
        match self._pages.current:
            case "sessions":
                you = self.seen.principal
                own = you is not None and row.person == you.id
                return acts.end_session(row, self.now, own=own, used=row.id == self._own())
            case "keys":
                return acts.revoke_key(row, self.now)
            case "tokens":
                return acts.revoke_token(row, self.now)
            case _:
                return acts.take_back(row, self.now)

    def on_table_moved(self) -> None:
        self.refresh_bindings()

    def on_table_opened(self, event: Table.Opened) -> None:
        """A row in full."""
        row, page = event.table.selected, self._pages.current
        tell: Mapping[str, Callable[[Any, int], list[tuple[str, str]]]] = {
            "sessions": drawing.session_facts,
            "keys": drawing.key_facts,
            "tokens": drawing.token_facts,
            "bindings": drawing.binding_facts,
            "roles": drawing.role_facts,
            "audit": drawing.audit_facts,
        }
        if row is not None:
            self.app.push_screen(Sheet(f"{page} · {event.key}", facts(tell[page](row, self.now))))

    # The audit log's filter

    @classmethod
    def check(cls, wanted: str) -> None:
        """A page, or a filter of the audit log, which the server judges."""

    def look_for(self, wanted: str) -> None:
        """Show a page, or what a filter finds in the audit log."""
        self._pages.open(wanted if wanted in self._pages.names else "audit", focus=True)
        if wanted in self._pages.names:
            self._draw()
        else:
            self._match(wanted)

    def action_filter(self) -> None:
        self._field.add_class("-on")
        self._field.value = self._matching
        self._field.focus()

    def action_clear(self) -> None:
        """Close the filter's field, or show everything again."""
        if self._field.has_class("-on"):
            self._close_field()
        elif self._matching and self._pages.current == "audit":
            self._match("")

    def _close_field(self) -> None:
        self._field.remove_class("-on")
        self._pages.table.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        try:
            wanted = self.dashboard.saved_filters.text(self.MODE, event.value)
        except NotFound as problem:
            self.dashboard.tell(sentence(problem), wrong=True)
            return
        self._close_field()
        self._match(wanted)

    def _match(self, matching: str) -> None:
        self._matching = matching
        begin(self, "access", partial(self._read, reading.read_audit))


def _table(columns: Sequence[Column[Any]], empty: str) -> Table[Any]:
    return Table(columns, lambda row: str(row.id), empty=empty)
