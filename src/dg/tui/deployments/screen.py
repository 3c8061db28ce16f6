"""The list of deployments with its filter, and a look at the one under the cursor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from dg.client.words import duration
from dg.core.errors import NotFound, Problem
from dg.tui import drawing
from dg.tui.background import begin
from dg.tui.errors import sentence
from dg.tui.frame.foot import Foot
from dg.tui.frame.keeping import Kept
from dg.tui.frame.view import View
from dg.tui.hints import hint
from dg.tui.ink import Piece, Pieces, apart, label
from dg.tui.signs import bar, ink, said
from dg.tui.store import RECENT, LinkState, Topic
from dg.tui.views import DeploymentView
from dg.tui.widgets.panel import Panel
from dg.tui.widgets.table import Column, Table

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.deployments.models import Deployment, Page

BAR = 10


def columns(view: View) -> Sequence[Column[DeploymentView]]:
    """The columns of every list of deployments."""
    return (
        Column(
            "number",
            "#",
            lambda row: [(str(row.number), "muted")],
            5,
            lambda row: row.number,
            right=True,
            least=4,
        ),
        Column("state", "state", lambda row: [(said(row.state), ink(row.state))], 16, lambda row: row.state),
        Column(
            "environment",
            "environment",
            lambda row: [drawing.place(row.environment)],
            11,
            lambda row: row.environment,
        ),
        Column("service", "service", lambda row: [(row.service, "fg")], 10, lambda row: row.service, least=8),
        Column(
            "version", "version", lambda row: [(row.version, "fg bold")], 14, lambda row: row.version, least=9
        ),
        Column("commit", "commit", lambda row: [(row.sha[:7], "muted")], 7, needs=120),
        Column("words", "what", lambda row: _words(view, row), 10, flex=True, needs=64),
        Column("by", "by", lambda row: [(row.by, "muted")], 8, lambda row: row.by, needs=84),
        Column("took", "took", _took, 6, lambda row: row.seconds, right=True, needs=94),
        Column(
            "age",
            "age",
            lambda row: [(drawing.ago(row.created_at, view.now), "muted")],
            4,
            lambda row: -row.created_at,
            right=True,
        ),
    )


def _words(view: View, row: DeploymentView) -> Pieces:
    progress = view.store.progress.get(row.id)
    if row.active and progress is not None:
        return [
            (f"{drawing.running_step(row, progress)} {progress.share * 100:.0f}% ", "progress bold"),
            *bar(BAR, progress.share),
        ]
    return [(row.words, "warn" if row.state == "needs_approval" else "muted")]


def _took(row: DeploymentView) -> Pieces:
    return [(duration(row.seconds) if row.seconds is not None else "", "muted")]


def open_detail(view: View, deployment_id: str) -> None:
    """Look at one deployment; going back comes back here."""
    from dg.tui.deployments.detail import Detail

    if (found := view.store.deployments.get(deployment_id)) is not None:
        view.app.push_screen(Detail(found, view.MODE))


def nothing(view: View) -> str:
    """Why there is no deployment to list, and what to do about it."""
    store = view.store
    if not store.at:
        return "nothing known yet" if store.link.state is LinkState.DISCONNECTED else "reading…"
    if store.rights.hides("deployment:read"):
        return "you may not see deployments"
    may = view.dashboard.hands.may_anywhere("deployment:create")
    return f"no deployments yet{': ' + hint(view, 'act.deploy', 'starts one') if may else ''}"


class Deployments(View):
    """The newest, or what a filter finds: it is the server's own, so it reaches all of history."""

    MODE = "deployments"
    TWINS: ClassVar = {"deployments": "dg status"}
    CSS = """
    Deployments #list { height: 1fr; }
    Deployments #look { height: 7; }
    Deployments.-short #look { height: 6; }
    Deployments.-low #look { display: none; }
    Deployments #filter { display: none; height: 1; border: none; padding: 0 1; background: $panel; }
    Deployments #filter.-on { display: block; }
    Deployments #complaint { display: none; height: 1; background: $panel; }
    Deployments #complaint.-on { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", key_display="/", id="deployments.filter"),
        Binding("escape", "clear", "All", show=False, id="deployments.clear"),
        Binding("r", "app.retry", "Refresh", show=False, id="view.refresh"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._matching = ""
        self._found: dict[str, DeploymentView] = {}
        self._cursor: str | None = None
        self._complaint = ""
        self._table = Table[DeploymentView](
            columns(self),
            lambda row: row.id,
            sort="number",
            descending=True,
            id="list",
            classes="box content",
        )
        self._field = Input(
            placeholder="env=production status!=success age<2d",
            id="filter",
            select_on_focus=False,
            compact=True,
        )
        self._complaint_line = Panel(self._complained, id="complaint")
        self._look_box = Panel(self._look, id="look", classes="box content")

    def compose(self) -> ComposeResult:
        yield self.bar()
        yield self._table
        yield self._complaint_line
        yield self._field
        yield self._look_box
        yield Foot()

    def on_mount(self) -> None:
        self._field.suggester = Kept(self.dashboard.saved_filters, self.MODE)
        self._table.focus()

    @property
    def matching(self) -> str:
        return self._matching

    @property
    def rows(self) -> Mapping[str, DeploymentView]:
        """What the list holds: the newest ones, or what the filter found."""
        return self._found if self._matching else self.store.deployments

    @property
    def subject(self) -> DeploymentView | None:
        shown = self._table.selected
        return self.store.deployments.get(shown.id, shown) if shown else None

    def show(self, topics: frozenset[Topic]) -> None:
        if topics & {"deployments", "link", "rights"}:
            if self._matching and "deployments" in topics:
                begin(self, "filter", partial(self._search, self._matching))
            self._show_rows()
        if topics & {"progress", "link", "deployments"}:
            self._table.redraw()
            self._look_box.redraw()

    def _show_rows(self) -> None:
        self._table.replace(self.rows.values())
        name = f"deployments · {self._matching}" if self._matching else "deployments"
        self._table.border_title = label(name)
        clears = hint(self, "deployments.clear", "clears it")
        self._table.empty = f"nothing matches this filter: {clears}" if self._matching else nothing(self)
        self.show_frame()

    def subtitles(self) -> Mapping[str, str]:
        more = " and more" if self._matching and self._cursor else ""
        return {"list": f"{len(self._table)}{more} shown", "look": hint(self._table, "table.open", "opens")}

    def tick(self) -> None:
        super().tick()
        self._table.redraw()
        self._look_box.redraw()

    # The one under the cursor

    def on_table_moved(self, event: Table.Moved) -> None:
        self.refresh_bindings()
        self._look_box.redraw()
        near_the_end = event.key is not None and event.key in event.table.keys[-3:]
        if self._matching and self._cursor and near_the_end:
            begin(self, "filter", partial(self._search, self._matching, self._cursor))

    def on_table_opened(self, event: Table.Opened) -> None:
        found = self.rows.get(event.key)
        if found is not None:
            from dg.tui.deployments.detail import Detail

            self.app.push_screen(Detail(found, self.MODE))

    def _look(self, width: int, height: int) -> list[Pieces]:
        found = self.rows.get(self._table.cursor or "")
        self._look_box.set_class(found is not None and found.in_production, "-production")
        if found is None:
            self._look_box.border_title = label("")
            return []
        self._look_box.border_title = label(found.name)
        return picture(found, self, width, height)

    # Filter

    @classmethod
    def check(cls, wanted: str) -> None:
        """A filter, which the server judges."""

    def look_for(self, wanted: str) -> None:
        """Show what a filter finds; what is none stays in the field, with why."""
        self.action_filter()
        self._field.value = wanted
        begin(self, "filter", partial(self._try, wanted))

    def action_filter(self) -> None:
        self._field.add_class("-on")
        self._field.value = self._matching
        self._field.focus()

    def action_clear(self) -> None:
        """Close the filter's field, or show everything again."""
        if self._field.has_class("-on"):
            self._close_field()
        elif self._matching:
            self._matching, self._found, self._cursor = "", {}, None
            self._show_rows()

    def _close_field(self) -> None:
        self._complain("")
        self._field.remove_class("-on")
        self._table.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        try:
            wanted = self.dashboard.saved_filters.text(self.MODE, event.value)
        except NotFound as problem:
            self._complain(sentence(problem))
            return
        if wanted:
            begin(self, "filter", partial(self._try, wanted))
        else:
            self._close_field()
            self.action_clear()

    async def _try(self, matching: str) -> None:
        """Take a new filter, if it is one: otherwise the list stays as it is and says why."""
        if await self._search(matching):
            self._matching = matching
            self._close_field()
            self._show_rows()

    async def _search(self, matching: str, cursor: str | None = None) -> bool:
        async def page(client: Client) -> Page[Deployment]:
            return await client.deployments.list(matching=matching, cursor=cursor, limit=RECENT)

        try:
            found = await self.dashboard.feed.call(page)
        except Problem as problem:
            self._complain(sentence(problem))
            return False
        rows = {each.id: DeploymentView.of(each) for each in found.items}
        self._found = {**self._found, **rows} if cursor else rows
        self._cursor = found.next_cursor
        if matching == self._matching:
            self._show_rows()
        return True

    def _complain(self, text: str) -> None:
        self._complaint = text
        self._complaint_line.set_class(bool(text), "-on")
        self._complaint_line.redraw()

    def _complained(self, _: int, __: int) -> list[Pieces]:
        return [[(f" ✗ {self._complaint}", "err")]]


def picture(found: DeploymentView, view: View, width: int, height: int) -> list[Pieces]:
    """A deployment in at most `height` lines: what, its steps, how far or how it ended."""
    progress = view.store.progress.get(found.id)
    who: list[Piece] = [(f"{found.by} · {drawing.ago(found.created_at, view.now)} ago", "muted")]
    name: list[Piece] = [
        (found.version, "fg bold"),
        (f"  {found.sha[:7]}", "muted"),
        (f"  {found.note}", "fg"),
    ]
    rows: list[Pieces] = [apart(name, who, width)]
    if progress is not None and found.active:
        rows += drawing.flight(found, progress, width, view.now, view.store.link.live)[1:]
    rows += drawing.outcome(found, width, max(1, height - len(rows)))
    return rows[:height]
