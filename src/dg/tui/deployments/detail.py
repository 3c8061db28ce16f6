"""One deployment: its steps, its log as it grows, its commits, what it waits for, who decided."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from dg.client.words import duration
from dg.core.errors import NotFound, Problem, Unavailable
from dg.core.text import counted
from dg.tui import drawing
from dg.tui.background import begin
from dg.tui.deployments import dossier
from dg.tui.deployments.dossier import Dossier
from dg.tui.errors import sentence
from dg.tui.frame.foot import Foot
from dg.tui.frame.saving import Save
from dg.tui.frame.sheet import Sheet
from dg.tui.frame.view import View
from dg.tui.hints import hint, offered
from dg.tui.ink import Piece, Pieces, apart, label, wrapped
from dg.tui.signs import bar
from dg.tui.store import Topic
from dg.tui.views import DeploymentView, ProgressView
from dg.tui.widgets.log import Line, Log, level
from dg.tui.widgets.panel import Panel

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.deployments.models import LogPage

WAIT = 15.0
"""Seconds for which the server holds back the answer when the log does not grow."""
PAUSE = 0.2
"""Seconds between two reads of a log that grows."""
AGAIN = 2.0
"""Seconds before a read that failed is tried again."""
SHEET = 94
"""Cells of a line in a sheet."""


class Detail(View):
    """What there is to know of one deployment, as it changes. `mode` is the tab it was opened from."""

    CSS = """
    Detail #head { height: 7; }
    Detail.-short #head { height: 6; }
    Detail.-low #head { height: 5; }
    Detail #body { height: 1fr; }
    Detail #log { width: 1fr; height: 1fr; }
    Detail #side { width: 56; }
    Detail.-middle #side { width: 44; }
    Detail #commits { height: 1fr; }
    Detail #facts { height: 2fr; }
    Detail.-narrow #side { display: none; width: 1fr; }
    Detail.-narrow.-side #side { display: block; }
    Detail.-narrow.-side #log { display: none; }
    Detail #filter { display: none; height: 1; border: none; padding: 0 1; background: $panel; }
    Detail #filter.-on { display: block; }
    """
    TWINS: ClassVar = {
        "steps, gates, decisions": "dg show",
        "log": "dg logs",
        "commits": "dg diff",
        "receipt": "dg receipt show",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="detail.back"),
        Binding("slash", "filter", "Find", key_display="/", id="detail.filter"),
        Binding("i", "side", "Facts", id="detail.side"),
        Binding("D", "diff", "Diff", id="detail.diff"),
        Binding("ctrl+s", "save", "Save", id="detail.save"),
        Binding("E", "receipt", "Receipt", show=False, id="detail.receipt"),
        Binding("r", "app.retry", "Refresh", show=False, id="view.refresh"),
    ]

    def __init__(self, deployment: DeploymentView, mode: str) -> None:
        super().__init__()
        self.MODE = mode
        self.deployment = deployment
        self._steps: ProgressView | None = None
        self._dossier = Dossier()
        self._wrong = ""
        self._looked = asyncio.Event()
        # Kept, not looked up: a read that ends while the screen closes still finds them.
        self._output = Log(id="log", classes="box")
        self._commit_box = Panel(self._draw_commits, id="commits", classes="box")
        self._fact_box = Panel(self._draw_facts, id="facts", classes="box")
        self._head_box = Panel(self._head, id="head", classes="box content")
        self._field = Input(
            placeholder="a regular expression", id="filter", select_on_focus=False, compact=True
        )
        self._save = Save()
        self._output.border_title = label("log")
        self._fact_box.border_title = label("facts")

    def compose(self) -> ComposeResult:
        yield self.bar()
        self._head_box.set_class(self.deployment.in_production, "-production")
        where = self.deployment.environment
        self._head_box.border_title = label(where.upper() if self.deployment.in_production else where)
        yield self._head_box
        with Horizontal(id="body", classes="content"):
            yield self._output
            with Vertical(id="side"):
                yield self._commit_box
                yield self._fact_box
        yield self._field
        yield self._save
        yield Foot()

    def on_mount(self) -> None:
        self._output.focus()
        begin(self, "log", self._follow_log)
        begin(self, "read", self._read)

    @property
    def crumb(self) -> str:
        return f"#{self.deployment.number}"

    @property
    def subject(self) -> DeploymentView | None:
        return self.deployment

    # Reading

    def show(self, topics: frozenset[Topic]) -> None:
        known = self.store.deployments.get(self.deployment.id)
        if known is not None and known != self.deployment:
            self.deployment = known
            begin(self, "read", self._read)
        self._steps = self.store.progress.get(self.deployment.id, self._steps)
        if topics & {"link"} and self.store.link.live:
            begin(self, "read", self._read)
        self._draw()

    async def _read(self) -> None:
        """Everything but the log, which grows by itself."""
        found, id_ = self._dossier, self.deployment.id
        try:
            await self.dashboard.feed.call(lambda dg: found.read(dg, id_, source=self._may_see_source()))
        except Unavailable as problem:
            self._wrong = sentence(problem)
        else:
            self._wrong = found.wrong.get("deployment") or found.wrong.get("steps") or ""
        if found.deployment is not None:
            self.deployment = DeploymentView.of(found.deployment)
        if found.progress is not None:
            self._steps = ProgressView.of(found.progress)
        self._looked.set()
        self.refresh_bindings()
        self._draw()

    def _may_see_source(self) -> bool:
        found = self.deployment
        return self.store.rights.may("deployment:diff", found.environment, found.service)

    async def _follow_log(self) -> None:
        """Every line from the first on, through any loss of the connection."""
        await self._looked.wait()
        after, complete = 0, False
        while not complete:

            async def page(dg: Client, after: int = after) -> LogPage:
                return await dg.deployments.logs(self.deployment.id, after=after, wait=WAIT)

            try:
                found = await self.dashboard.feed.call(page)
            except NotFound as problem:
                self._wrong = sentence(problem)
                return
            except Problem:
                await self.dashboard.clock.sleep(AGAIN)
                continue
            names = {step.index: step.name for step in self._steps.steps} if self._steps else {}
            lines = [
                Line(each.text, each.at, _source(names, each.step), level(each.text)) for each in found.items
            ]
            self._output.append(lines, left_out=found.left_out)
            after, complete = found.next_seq, found.complete
            self._output.ended = complete
            self._output.empty = "its steps printed nothing" if complete else "no output yet"
            await self.dashboard.clock.sleep(PAUSE)

    # Drawing

    def _draw(self) -> None:
        self._commit_box.border_title = label(self._dossier.counts)
        for panel in (self._head_box, self._commit_box, self._fact_box):
            panel.redraw()
        self.show_frame()

    def tick(self) -> None:
        super().tick()
        self._head_box.redraw()

    def subtitles(self) -> Mapping[str, str]:
        more = "" if self.has_class("-narrow") else hint(self, "detail.side", "all of it")
        files = offered(self, "detail.diff", "diff")
        receipt = hint(self, "detail.receipt", "saves the receipt") if self._dossier.receipt else ""
        return {
            "log": self._found,
            "commits": files,
            "facts": " · ".join(filter(None, (more, receipt))),
        }

    @property
    def _found(self) -> str:
        """What the log says of itself, and the way out of a find."""
        out = hint(self, "detail.back", "ends the find") if self._output.filtered else ""
        return " · ".join(filter(None, (self._output.said, out)))

    def on_log_changed(self, event: Log.Changed) -> None:
        if self.store.link.live:
            event.control.border_subtitle = label(self._found)

    def on_log_copied(self, event: Log.Copied) -> None:
        self.dashboard.tell(f"copied {counted(event.lines, 'line')}")

    def _head(self, width: int, height: int) -> list[Pieces]:
        found = self.deployment
        started = found.started_at or found.created_at
        base = self._dossier.deployment and self._dossier.deployment.base_sha
        since = f" · from {base[:7]}" if base else ""
        who = f"{found.by} · {drawing.ago(started, self.now)} ago{since}"
        kind = [] if found.kind == "deploy" else [(f"{found.kind} ", "warn bold")]
        what: list[Piece] = [
            *kind,
            (f"{found.service} ", "fg"),
            (found.version, "fg bold"),
            (f"  {found.sha[:7]}", "muted"),
            (f"  {found.note}", "fg"),
        ]
        rows: list[Pieces] = [apart(what, [(who, "muted")], width)]
        if self._steps is not None and self._steps.steps:
            rows.append(drawing.steps(self._steps.steps, width, self.now))
            rows.append(self._bar(self._steps, width))
        room = max(1, height - len(rows))
        wrong = wrapped([(f"✗ {self._wrong}", "err")], width, room)
        rows += wrong if self._wrong else drawing.outcome(found, width, room)
        if len(rows) < height:
            rows.insert(1, [])
        return rows[:height]

    def _bar(self, steps: ProgressView, width: int) -> Pieces:
        found = self.deployment
        share = 1.0 if found.status == "success" else steps.share
        rest = drawing.left(steps, self.now) if found.active and self.store.link.live else ""
        took = duration(found.seconds) if found.seconds is not None else rest
        said = [(f" {share * 100:3.0f}% ", "bold"), (took, "muted")]
        words = {"failed": "err", "success": "ok", "rolled_back": "warn"}.get(found.status, "progress")
        room = width - sum(len(text) for text, _ in said) - 1
        return [*bar(max(4, room), share, words), (said[0][0], f"{words} bold"), said[1]]

    def _draw_commits(self, width: int, height: int) -> list[Pieces]:
        return dossier.commits(self._dossier, width, height)

    def _draw_facts(self, width: int, height: int) -> list[Pieces]:
        rows = dossier.facts(self._dossier, width)
        if len(rows) > height > 0:
            return [*rows[: height - 1], [(f"… {counted(len(rows) - height + 1, 'more line')}", "dim")]]
        return rows

    # Keys

    def action_back(self) -> None:
        """End the find, else go back to the list."""
        if self._field.has_class("-on") or self._output.filtered:
            self._field.clear()
            self._close_field()
        elif self.is_current:
            self.app.pop_screen()

    def action_side(self) -> None:
        """Where there is no room for both: the facts, or the log. Else the facts in full."""
        if self.has_class("-narrow"):
            self.toggle_class("-side")
            return
        found = self.deployment
        rows = dossier.facts(self._dossier, SHEET)
        self.app.push_screen(Sheet(found.name, rows, production=found.in_production))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys for what is not there, or not to be seen, are hidden too."""
        match action:
            case "diff":
                return self._may_see_source() and self._dossier.diff is not None
            case "receipt":
                return bool(self._dossier.receipt) and super().check_action(action, parameters)
            case _:
                return super().check_action(action, parameters)

    def action_diff(self) -> None:
        """What it changes in the files."""
        from dg.tui.deployments.difference import Difference

        if self._dossier.diff is not None:
            self.app.push_screen(Difference(self.deployment, self.MODE, self._dossier.diff))

    def action_save(self) -> None:
        """Save the marked lines of the log, or all that are shown, safe to print."""
        found = [line.written for line in self._output.picked]
        name = f"{self.deployment.service}-{self.deployment.number}.log"
        self._save.ask(counted(len(found), "line"), name, lambda: "\n".join((*found, "")), self._output)

    def action_receipt(self) -> None:
        """Save the signed receipt, byte for byte."""
        name = f"{self.deployment.service}-{self.deployment.number}.receipt.json"
        self._save.ask("the receipt", name, self._dossier.receipt.decode, self._output)

    def action_filter(self) -> None:
        self._field.add_class("-on")
        self._field.focus()

    def _close_field(self) -> None:
        self._field.remove_class("-on")
        self._output.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Lines are found while one types; what is no expression yet leaves the log as it is."""
        if event.input is not self._field:
            return
        try:
            self._output.filter(event.value or None)
        except re.error:
            self._output.border_title = label("log · not an expression yet")
        else:
            self._output.border_title = label(f"log · /{event.value}/" if event.value else "log")

    def on_input_submitted(self) -> None:
        self._close_field()


def _source(names: Mapping[int, str], step: int | None) -> str:
    return "checkout" if step is None else names.get(step, f"step {step}")
