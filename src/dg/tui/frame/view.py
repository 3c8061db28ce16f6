"""What all screens have in common: the first line, and boxes that say how old they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, cast

from textual.binding import Binding, BindingType
from textual.screen import Screen

from dg.core.errors import Invalid
from dg.tui.actions import Act
from dg.tui.deployments import deciding, deploying, lanes
from dg.tui.drawing import ago
from dg.tui.frame.confirm import Confirm
from dg.tui.frame.saving import may_save
from dg.tui.ink import CONTENT, STALE, Pieces, label
from dg.tui.steady import SteadyScreen
from dg.tui.store import TOPICS, Store, Topic
from dg.tui.views import DeploymentView, LaneView
from dg.tui.widgets.panel import Panel

if TYPE_CHECKING:
    from dg.tui.app import Dashboard

BOXES = ".box"


RIGHTS = {
    "deploy": "deployment:create",
    "roll_back": "deployment:rollback",
    "approve": "deployment:approve",
    "reject": "deployment:reject",
    "cancel": "deployment:cancel",
    "retry": "deployment:retry",
    "lock": "lane:lock",
    "unlock": "lane:unlock",
    "freeze": "lane:freeze",
    "override": "deployment:override",
    "abandon": "deployment:abandon",
    "block": "lane:block",
}
"""What each key that changes something takes."""

APPLIES: Mapping[str, Callable[[LaneView, DeploymentView | None], bool]] = {
    "roll_back": lambda lane, found: bool(lane.version) or not lane.known,
    "approve": lambda lane, found: found is not None and found.state == "needs_approval",
    "reject": lambda lane, found: found is not None and found.state == "needs_approval",
    "cancel": lambda lane, found: found is not None and not found.final and not found.cancelling,
    "retry": lambda lane, found: found is not None and found.status == "failed",
    "lock": lambda lane, found: not lane.closed,
    "unlock": lambda lane, found: lane.closed,
    "override": lambda lane, found: found is not None and found.status == "pending" and bool(found.hold),
    "abandon": lambda lane, found: found is not None and not found.final and found.cancelling,
    "block": lambda lane, found: found is not None,
}
"""Where each of them makes sense."""


class View(SteadyScreen, Screen[None]):
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
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "deploy", "Deploy", id="act.deploy"),
        Binding("R", "roll_back", "Roll back", id="act.roll-back"),
        Binding("p", "approve", "Approve", id="act.approve"),
        Binding("X", "reject", "Reject", id="act.reject"),
        Binding("x", "cancel", "Cancel", id="act.cancel"),
        Binding("t", "retry", "Retry", id="act.retry"),
        Binding("L", "lock", "Lock", show=False, id="act.lock"),
        Binding("U", "unlock", "Unlock", id="act.unlock"),
        Binding("F", "freeze", "Freeze", show=False, id="act.freeze"),
        Binding("exclamation_mark", "override", "Pass gates", show=False, key_display="!", id="act.override"),
        Binding("A", "abandon", "Abandon", id="act.abandon"),
        Binding("B", "block", "Block version", show=False, id="act.block"),
        Binding("S", "keep_filter", "Keep the filter", show=False, id="view.keep-filter"),
    ]
    MODE = ""
    """Which tab of the first line is lit."""
    TWINS: ClassVar[Mapping[str, str]] = {}
    """The commands that say in lines what this screen shows, by what they say."""

    def __init__(self) -> None:
        super().__init__()
        # A screen may be told that time went by before it is composed.
        self._line = Panel(self._top, id="bar")

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

    @property
    def withheld(self) -> str:
        """Why nothing can be changed from here, empty where something can."""
        return ""

    def bar(self) -> Panel:
        """The first line."""
        return self._line

    def _top(self, width: int, _: int) -> list[Pieces]:
        said = self.dashboard.trouble()
        return [
            self.dashboard.first_line(self.MODE, width),
            *([[(f" ▲ {said}", "err bold")]] if said else []),
        ]

    @property
    def crumb(self) -> str:
        """What it is called in the trail, where it was opened from another one."""
        return ""

    @property
    def matching(self) -> str:
        """The filter of what is seen, which can be kept under a name."""
        return ""

    def action_keep_filter(self) -> None:
        from dg.tui.frame.keeping import Keep

        if self.matching:
            self.app.push_screen(Keep(self.MODE, self.matching))

    @property
    def subject(self) -> DeploymentView | None:
        """The deployment that keys act on."""
        return None

    @property
    def lane(self) -> LaneView | None:
        """The lane that keys act on: that of the subject, or the first one there is."""
        found = self.subject
        if found is not None:
            return self.store.lanes.get((found.service, found.environment))
        return next(iter(self.store.lanes.values()), None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys for what is forbidden or makes no sense are hidden; without a connection they are grey."""
        if action == "keep_filter":
            return bool(self.matching)
        if not may_save(self.app, action):
            return False
        right = RIGHTS.get(action)
        if right is None:
            return True
        lane, found = self.lane, self.subject
        if lane is None:
            return False
        may = self.dashboard.hands.may(self._right(action, right), lane.environment, lane.service)
        applies = APPLIES.get(action)
        if not may or (applies is not None and not applies(lane, found)):
            return False
        return True if self.store.link.live else None

    def _right(self, action: str, right: str) -> str:
        return "lane:thaw" if action == "unlock" and self.lane is not None and self.lane.freeze else right

    def _ask(self, act: Act) -> None:
        self.app.push_screen(Confirm(act))

    def _on(self, act: Callable[[DeploymentView], Act]) -> None:
        if (found := self.subject) is not None:
            self._ask(act(found))

    def _at(self, act: Callable[[LaneView], Act]) -> None:
        if (lane := self.lane) is not None:
            self._ask(act(lane))

    def action_deploy(self) -> None:
        self._at(lambda lane: deploying.deploy(lane.service, lane.environment))

    def action_roll_back(self) -> None:
        self._at(lambda lane: deploying.roll_back(lane.service, lane.environment))

    def action_approve(self) -> None:
        self._on(deciding.approve)

    def action_reject(self) -> None:
        self._on(deciding.reject)

    def action_cancel(self) -> None:
        self._on(deciding.cancel)

    def action_retry(self) -> None:
        self._on(deciding.retry)

    def action_lock(self) -> None:
        self._at(lanes.lock)

    def action_unlock(self) -> None:
        self._at(lanes.unlock)

    def action_freeze(self) -> None:
        self._at(lambda lane: lanes.freeze(lane.environment))

    def action_override(self) -> None:
        self._on(deciding.override)

    def action_abandon(self) -> None:
        self._on(deciding.abandon)

    def action_block(self) -> None:
        self._on(lambda found: lanes.block(found.service, found.environment, found.sha))

    @classmethod
    def check(cls, wanted: str) -> None:
        """Raises Invalid where this screen cannot be asked for `wanted`, as in a command behind its name."""
        if wanted:
            raise Invalid(f"nothing can stand behind {cls.MODE}")

    def look_for(self, wanted: str) -> None:
        """Show what is wanted, which `check` let pass."""

    def show(self, topics: frozenset[Topic]) -> None:
        """Bring up to date what hangs on these."""
        raise NotImplementedError

    def subtitles(self) -> Mapping[str, str]:
        """What the boxes say at their lower edge, by id."""
        return {}

    def show_all(self) -> None:
        """Everything anew."""
        self.show(TOPICS)
        self.show_frame()

    def show_frame(self) -> None:
        """The first line, and what stands in the borders."""
        live = self.store.link.live
        if live == self.has_class(STALE):
            self.set_class(not live, STALE)
            for each in self.query(f".{CONTENT}, .{CONTENT} *"):
                each.refresh()
        self.set_class(bool(self.dashboard.trouble()), "-troubled")
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

    def tick(self) -> None:
        """A second has gone by."""
        self.show_frame()

    def on_mount(self) -> None:
        self.show_all()

    def on_screen_resume(self) -> None:
        self.show_all()
