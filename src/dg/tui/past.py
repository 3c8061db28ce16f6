"""The dashboard at a moment that is over: what ran where then. Nothing can be changed from there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from dg.client.moments import spoken
from dg.client.words import age
from dg.core.clock import SECOND
from dg.core.errors import Problem
from dg.tui.background import begin
from dg.tui.drawing import ago, place
from dg.tui.errors import sentence
from dg.tui.frame.foot import Foot
from dg.tui.frame.sheet import Sheet
from dg.tui.frame.view import RIGHTS, View
from dg.tui.hints import hint, key_of
from dg.tui.ink import Piece, Pieces, apart, label, wrapped
from dg.tui.signs import ink, said, sign
from dg.tui.store import Topic
from dg.tui.views import PRODUCTION
from dg.tui.widgets.panel import Panel
from dg.tui.widgets.table import Column, Table

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.past.models import PastEnvironment, PastLane, UnderWay

IN_FULL = (94, 20)
"""Cells and rows in which a lane is told in full."""
NOBODY = "nothing was registered here then"
STEP = 600
"""Seconds by which the keys go back and on."""

_WRITES = ",".join(
    binding.key for binding in View.BINDINGS if isinstance(binding, Binding) and binding.action in RIGHTS
)


@dataclass(frozen=True)
class Row:
    """One lane, and what its service had last been found to be; `health` is empty where nobody had looked."""

    lane: PastLane
    health: str

    @property
    def key(self) -> str:
        return f"{self.lane.service}/{self.lane.environment}"


class Past(View):
    """How everything was at `then` (microseconds), over the screen that it was asked for on."""

    CSS = """
    Past #banner { height: 2; background: $dg-warn; color: $dg-background; text-style: bold; }
    Past .box {
        border: heavy $dg-warn; border-title-color: $dg-background; border-title-background: $dg-warn;
    }
    Past .box:focus, Past .box:focus-within { border: heavy $dg-warn; }
    Past #lanes { height: 1fr; }
    Past #look { height: 9; }
    Past.-short #look { height: 7; }
    Past.-low #look { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(_WRITES, "refuse", "", show=False, id="past.refuse"),
        Binding("left_square_bracket", "go(-1)", "10 minutes earlier", key_display="[", id="past.earlier"),
        Binding("right_square_bracket", "go(1)", "10 minutes later", key_display="]", id="past.later"),
        Binding("escape", "leave", "Back to now", id="past.leave"),
    ]

    TWINS: ClassVar = {"lanes as they were": "dg status --as-of"}

    def __init__(self, then: int, mode: str) -> None:
        super().__init__()
        self.MODE = mode
        self.then = then
        self._wrong = ""
        self._found: Sequence[PastEnvironment] = ()
        self._banner = Panel(self._marked, id="banner")
        self._table = Table[Row](
            self._columns(),
            lambda row: row.key,
            id="lanes",
            classes="box",
        )
        self._look = Panel(self._looked_at, id="look", classes="box")

    @property
    def withheld(self) -> str:
        return f"nothing can be changed in the past: {hint(self, 'past.leave', 'goes back to now')}"

    def compose(self) -> ComposeResult:
        yield self.bar()
        yield self._banner
        yield self._table
        yield self._look
        yield Foot()

    def on_mount(self) -> None:
        self._table.focus()
        self._read()

    # Reading

    def _read(self) -> None:
        self._found, self._wrong = (), ""
        self._draw()
        begin(self, "past", self._ask_server)

    async def _ask_server(self) -> None:
        from dg.client.past import as_of

        then = self.then

        async def ask(dg: Client) -> Sequence[PastEnvironment]:
            return await as_of(dg, then)

        try:
            self._found = await self.dashboard.feed.call(ask)
        except Problem as problem:
            self._wrong = sentence(problem)
        self._draw()

    # Drawing

    def _columns(self) -> Sequence[Column[Row]]:
        return (
            Column("environment", "environment", lambda row: [place(row.lane.environment.value)], 11),
            Column("service", "service", lambda row: [(row.lane.service, "fg")], 10),
            Column("ran", "ran", _ran, 12, flex=True),
            Column("by", "by", _by, 8, needs=84),
            Column("since", "since", self._since, 11, right=True, needs=94),
            Column("lane", "lane", lambda row: [_said(row.lane.state.value)], 9),
            Column("health", "health", lambda row: [_said(row.health)] if row.health else [], 11, needs=70),
            Column("way", "under way", lambda row: _under_way(row.lane.holder), 22, needs=120),
        )

    def _since(self, row: Row) -> Pieces:
        current = row.lane.current
        return [(f"{ago(current.completed_at, self.then)} before", "muted")] if current else []

    def _draw(self) -> None:
        self._table.empty = "not known" if self._wrong else NOBODY if self._found else "asking …"
        self._table.replace(_rows(self._found))
        self._table.border_title = label(f"AS OF {self._said_short()}")
        self._look.border_title = label(f"AS OF {self._said_short()}")
        for panel in (self._banner, self._look):
            panel.redraw()
        self.show_frame()

    def _said_short(self) -> str:
        return spoken(self.then)[:19]

    def _marked(self, width: int, _: int) -> list[Pieces]:
        lasted = age(max(0, self.dashboard.clock.micros() - self.then) / SECOND)
        back = hint(self, "past.leave", "goes back")
        said = f" AS OF {spoken(self.then)} · {lasted} ago · this is not now · {back} "
        rows: list[Pieces] = [apart([(said, "warn badge")], [], width)]
        rows.append([(f" ✗ {self._wrong} ", "err badge")] if self._wrong else self._standings())
        return rows

    def _standings(self) -> Pieces:
        """How each environment was as a whole."""
        pieces: list[Piece] = []
        for each in reversed(self._found):
            name = each.name.upper() if each.name == PRODUCTION else each.name.value
            health = f"{sign(each.status)} {each.status}" if each.status else "health not known"
            pieces.append((f" {name} {health}, configuration {each.version} ", "warn badge"))
        return pieces or [(" asking … ", "warn badge")]

    def _looked_at(self, width: int, height: int) -> list[Pieces]:
        row = self._table.selected
        if row is None:
            return []
        lane, found = row.lane, next(each for each in self._found if each.name == row.lane.environment)
        rows: list[Pieces] = list(wrapped([(lane.sentence, "fg")], width, 3))
        if lane.holder is not None:
            rows.append([("under way  ", "muted"), *_under_way(lane.holder)])
        if lane.waiting:
            rows.append([("waiting    ", "muted"), (str(lane.waiting), "fg")])
        if lane.drift is not None:
            rows.append([("drift      ", "muted"), (f"a check had found {lane.drift.found}", "err")])
        if lane.current is not None:
            what = f"#{lane.current.number} · {lane.current.commit_sha[:12]}"
            rows.append([("deployment ", "muted"), (what, "fg")])
        told = next((each for each in found.services if each.service == lane.service), None)
        if told is not None:
            why = f": {told.message}" if told.message else ""
            since = f" since {spoken(told.since)[11:19]}"
            rows.append(
                [("health     ", "muted"), (f"{said(told.status.value)}{since}{why}", ink(told.status.value))]
            )
        return rows[:height]

    def show(self, topics: frozenset[Topic]) -> None:
        """Nothing that happens now changes what was; only a connection that is back can tell it."""
        if "link" in topics and self.store.link.live and self._wrong:
            self._read()

    def subtitles(self) -> Mapping[str, str]:
        keys = f"{key_of(self, 'past.earlier')} and {hint(self, 'past.later', 'go by 10 minutes')}"
        return {"lanes": f"{len(self._table)} shown · {keys}", "look": "read only"}

    def tick(self) -> None:
        super().tick()
        self._banner.redraw()

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing that changes something has its key here: `refuse` has all of them."""
        return action not in RIGHTS and super().check_action(action, parameters)

    def on_table_moved(self) -> None:
        self._look.redraw()

    def on_table_opened(self) -> None:
        """The lane in full: on a low terminal it stands nowhere else."""
        if (row := self._table.selected) is not None:
            title = f"AS OF {self._said_short()} · {row.lane.service} in {row.lane.environment}"
            production = row.lane.environment == PRODUCTION
            self.app.push_screen(Sheet(title, self._looked_at(*IN_FULL), production=production))

    def action_refuse(self) -> None:
        self.dashboard.tell(self.withheld, wrong=True)

    def action_go(self, steps: int) -> None:
        """Some minutes earlier or later, never into the future."""
        self.go_to(min(self.then + steps * STEP * SECOND, self.dashboard.clock.micros()))

    def go_to(self, then: int) -> None:
        """Another moment (microseconds)."""
        self.then = then
        self._read()

    def action_leave(self) -> None:
        self.dismiss()


def _rows(found: Iterable[PastEnvironment]) -> list[Row]:
    rows = []
    for each in found:
        health = {told.service: told.status.value for told in each.services}
        rows += [Row(lane, health.get(lane.service, "")) for lane in each.lanes]
    return rows


def _said(word: str) -> Piece:
    return said(word), ink(word)


def _ran(row: Row) -> Pieces:
    lane = row.lane
    if not lane.known:
        return [("not known", "warn bold")]
    if lane.current is None:
        return [("nothing yet", "dim")]
    sha = lane.current.commit_sha
    short = [] if sha.startswith(lane.current.version) else [(f" {sha[:7]}", "muted")]
    drifted = [(" but ran ", "err"), (lane.drift.found, "err bold")] if lane.drift else []
    return [(lane.current.version, "fg bold"), *short, *drifted]


def _by(row: Row) -> Pieces:
    current = row.lane.current
    return [(current.by_name or current.by, "muted")] if current else []


def _under_way(holder: UnderWay | None) -> Pieces:
    if holder is None:
        return []
    return [(f"{said(holder.status)} ", ink(holder.status)), (f"#{holder.number} {holder.version}", "fg")]
