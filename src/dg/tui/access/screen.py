"""Who is signed in and what that gives, who else may come in, and the log of who did or tried what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from dg.core.errors import NotFound, Problem
from dg.tui.access import drawing, reading, webhooks
from dg.tui.access.may import May
from dg.tui.access.offers import OFFERS, At
from dg.tui.access.reading import Seen
from dg.tui.actions import Act, line
from dg.tui.background import begin
from dg.tui.errors import sentence
from dg.tui.frame import answers
from dg.tui.frame.confirm import Confirm
from dg.tui.frame.foot import Foot
from dg.tui.frame.keeping import Kept
from dg.tui.frame.pages import Pages
from dg.tui.frame.sheet import Sheet, facts
from dg.tui.frame.view import View
from dg.tui.hints import hint, offered
from dg.tui.ink import Pieces, label
from dg.tui.offers import Offer, find
from dg.tui.store import Topic
from dg.tui.views import LaneView
from dg.tui.widgets.panel import Panel
from dg.tui.widgets.table import Column, Table

EVERY = 10.0
"""Seconds between two looks at the audit log while it is seen and something has happened."""
TOLD = ("session.", "key.", "token.", "role.", "binding.", "person.", "login.", "webhook.", "slack.")
"""How facts begin after which somebody else may come in, or do something else."""
DELIVERIES = 20
"""Of a webhook that are shown, the newest."""
FACTS: Mapping[str, Callable[[Any, int], list[tuple[str, str]]]] = {
    "sessions": drawing.session_facts,
    "keys": drawing.key_facts,
    "tokens": drawing.token_facts,
    "bindings": drawing.binding_facts,
    "roles": drawing.role_facts,
    "webhooks": webhooks.webhook_facts,
    "slack": drawing.link_facts,
    "audit": drawing.audit_facts,
}
"""All that is known of a row, by page."""


class Access(View):
    """Oneself on top; pages of all that opens the server, and the audit log."""

    MODE = "access"
    TWINS: ClassVar = {
        "you": "dg whoami",
        "may I?": "dg can-i",
        "sessions": "dg session list",
        "keys": "dg key list",
        "tokens": "dg token list",
        "bindings": "dg binding list",
        "roles": "dg role list",
        "webhooks": "dg webhook list",
        "slack": "dg slack links",
        "audit": "dg audit list",
    }
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
        Binding("n", "add", "New", id="access.add"),
        Binding("e", "edit", "Edit", id="access.edit"),
        Binding("N", "rotate", "New secret", id="access.rotate"),
        Binding("P", "pause", "Pause", id="access.pause"),
        Binding("T", "test", "Test", id="access.test"),
        Binding("D", "revoke", "Revoke", id="access.revoke"),
        Binding("E", "end_all", "End all of theirs", show=False, id="access.end-all"),
        Binding("X", "deny", "Turn away", show=False, id="access.deny"),
        Binding("V", "verify", "Verify", id="access.verify"),
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
            "keys": _table(drawing.key_columns(now), "no API keys"),
            "tokens": _table(drawing.token_columns(now), "no tokens"),
            "bindings": _table(drawing.binding_columns(now), "no roles are given by hand"),
            "roles": Table(drawing.role_columns(), lambda row: row.name, empty="no roles"),
            "webhooks": _table(webhooks.columns(), "no webhooks"),
            "slack": _table(drawing.link_columns(now), "no accounts in Slack"),
            "audit": Table(drawing.audit_columns(now), lambda row: str(row.seq), empty="nothing matches"),
        }
        self._empty = {name: table.empty for name, table in self._tables.items()}
        self._pages = Pages(self._tables, id="pages", classes="box content")
        self._you = Panel(self._yourself, id="you", classes="box content")
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
        yield Foot()

    def on_mount(self) -> None:
        self._field.suggester = Kept(self.dashboard.saved_filters, self.MODE)
        self._pages.open("sessions", focus=True)
        self.set_interval(EVERY, self._look_again)

    @property
    def matching(self) -> str:
        return self._matching if self._pages.current == "audit" else ""

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

    def _nothing(self, page: str) -> str:
        """What an empty page says, and the key for a first row where one may make it."""
        adds = page == self._pages.current and page in ADDS and offered(self, "access.add", ADDS[page])
        return f"{self._empty[page]}: {adds}" if adds else self._empty[page]

    def _draw(self) -> None:
        for name, table in self._tables.items():
            table.empty = self._nothing(name) if self.seen.read else "not read yet"
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
        shown = f"{len(self._pages.table)} shown · {hint(self._pages.table, 'table.open', 'shows one')}"
        return {"pages": f"✗ {wrong}" if wrong else shown}

    def tick(self) -> None:
        super().tick()
        self._pages.table.redraw()

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "filter":
            return self._pages.current == "audit"
        if action == "verify":
            return self._pages.current == "audit" and self.store.rights.may_anywhere("audit:verify")
        found = self._found(action)
        if found is None:
            return action not in OFFERS and super().check_action(action, parameters)
        if not self.dashboard.hands.allows(found[1]):
            return False
        return True if self.store.link.live else None

    def _found(self, action: str) -> tuple[Offer, Act] | None:
        """What the key does to the row under the cursor, None where it does nothing."""
        at, row = At(self.seen, self.now), self._pages.table.selected
        offer = find(OFFERS, action, self._pages.current)
        if offer is None or not offer.applies(at, row):
            return None
        return offer, offer.make(at, row)

    def _do(self, action: str) -> None:
        """Ask, or do it at once."""
        if (found := self._found(action)) is None:
            return
        offer, act = found
        if offer.at_once:
            answers.carry_out(self, act)
        else:
            self.app.push_screen(Confirm(act))

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

    def action_add(self) -> None:
        self._do("add")

    def action_edit(self) -> None:
        self._do("edit")

    def action_rotate(self) -> None:
        self._do("rotate")

    def action_pause(self) -> None:
        self._do("pause")

    def action_test(self) -> None:
        self._do("test")

    def action_revoke(self) -> None:
        self._do("revoke")

    def action_end_all(self) -> None:
        self._do("end_all")

    def action_deny(self) -> None:
        self._do("deny")

    def action_verify(self) -> None:
        """Whether the record is whole, and still what was seen of it before."""
        sheet = Sheet("audit", [[("checking every entry …", "muted")]], command=line("audit", "verify"))
        self.app.push_screen(sheet)
        answers.fill(self, sheet, lambda dg: dg.verify(), drawing.verdict)

    def on_table_moved(self) -> None:
        self.refresh_bindings()

    def on_table_opened(self, event: Table.Opened) -> None:
        """A row in full."""
        row, page = event.table.selected, self._pages.page_of(event.table)
        if row is None:
            return
        told = facts(FACTS[page](row, self.now))
        sheet = Sheet(f"{page} · {event.key}", told)
        self.app.push_screen(sheet)
        if page == "webhooks":
            answers.fill(
                self,
                sheet,
                lambda dg: dg.webhooks.deliveries(row.id, limit=DELIVERIES),
                lambda found: [*told, [], *webhooks.deliveries(found.items, self._moment)],
                told,
            )

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


ADDS = {
    "keys": "makes one",
    "tokens": "makes one",
    "webhooks": "makes one",
    "bindings": "gives one",
    "slack": "links one",
}
"""What the key for a new row does, by page."""


def _table(columns: Sequence[Column[Any]], empty: str) -> Table[Any]:
    return Table(columns, lambda row: str(row.id), empty=empty)
