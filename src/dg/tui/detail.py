"""One deployment: its steps, its log as it grows, its commits, what it waits for, who decided."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Footer, Input

from dg.client.words import duration
from dg.core.errors import NotFound, Problem, Unauthenticated
from dg.core.text import counted
from dg.tui import drawing
from dg.tui.background import begin
from dg.tui.errors import sentence
from dg.tui.ink import Piece, Pieces, apart, label, wrapped
from dg.tui.signs import bar, sign
from dg.tui.store import Topic
from dg.tui.view import View
from dg.tui.views import DeploymentView, GateView, ProgressView
from dg.tui.widgets.log import Line, Log, level
from dg.tui.widgets.panel import Panel

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.deployments.models import Approval, Changes, Deployment, LogPage, Progress

WAIT = 15.0
"""Seconds for which the server holds back the answer when the log does not grow."""
PAUSE = 0.2
"""Seconds between two reads of a log that grows."""
AGAIN = 2.0
"""Seconds before a read that failed is tried again."""


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
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="detail.back"),
        Binding("slash", "filter", "Find", key_display="/", id="detail.filter"),
        Binding("i", "side", "Facts", id="detail.side"),
        Binding("r", "app.retry", "Refresh", show=False, id="view.refresh"),
    ]

    def __init__(self, deployment: DeploymentView, mode: str) -> None:
        super().__init__()
        self.MODE = mode
        self.deployment = deployment
        self._steps: ProgressView | None = None
        self._gates: tuple[GateView, ...] = ()
        self._approvals: list[Pieces] = []
        self._commits: list[Pieces] = []
        self._receipt = ""
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
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._output.focus()
        begin(self, "log", self._follow_log)
        begin(self, "read", self._read)

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
        self._wrong = ""
        try:
            await self._read_deployment()
            await self._read_commits()
            if self.deployment.final and not self._receipt:
                receipt = await self.dashboard.feed.call(
                    lambda dg: dg.deployments.receipt(self.deployment.id)
                )
                self._receipt = hashlib.sha256(receipt).hexdigest()
        except Problem as problem:
            self._wrong = sentence(problem)
        self._looked.set()
        self._draw()

    async def _read_deployment(self) -> None:
        async def both(dg: Client) -> tuple[Deployment, Progress]:
            return await dg.deployments.get(self.deployment.id), await dg.deployments.status(
                self.deployment.id
            )

        found, progress = await self.dashboard.feed.call(both)
        self.deployment = DeploymentView.of(found)
        self._steps = ProgressView.of(progress)
        self._gates = tuple(map(GateView.of, found.gates or ()))
        self._approvals = [_decision(each) for each in found.approvals or ()]

    async def _read_commits(self) -> None:
        changes = await self.dashboard.feed.call(lambda dg: dg.deployments.changes(self.deployment.id))
        self._commits = _commits(changes)
        self._commit_box.border_title = label(_counted(changes))

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
            except (Problem, Unauthenticated):
                await self.dashboard.clock.sleep(AGAIN)
                continue
            names = {step.index: step.name for step in self._steps.steps} if self._steps else {}
            lines = [
                Line(each.text, each.at, _source(names, each.step), level(each.text)) for each in found.items
            ]
            self._output.append(lines, left_out=found.left_out)
            after, complete = found.next_seq, found.complete
            await self.dashboard.clock.sleep(PAUSE)

    # Drawing

    def _draw(self) -> None:
        for panel in (self._head_box, self._commit_box, self._fact_box):
            panel.redraw()
        self.show_frame()

    def tick(self) -> None:
        super().tick()
        self._head_box.redraw()

    def subtitles(self) -> Mapping[str, str]:
        return {"log": self._output.said, "head": f"{self.MODE} › #{self.deployment.number}"}

    def on_log_changed(self, event: Log.Changed) -> None:
        if self.store.link.live:
            event.control.border_subtitle = label(event.control.said)

    def on_log_copied(self, event: Log.Copied) -> None:
        self.dashboard.tell(f"copied {counted(event.lines, 'line')}")

    def _head(self, width: int, height: int) -> list[Pieces]:
        found = self.deployment
        started = found.started_at or found.created_at
        who = f"{found.by} · {drawing.ago(started, self.now)} ago"
        kind = [] if found.kind == "deploy" else [(f"{found.kind} ", "warn bold")]
        what: list[Piece] = [
            *kind,
            (f"{found.service} ", "fg"),
            (found.version, "fg bold"),
            (f"  {found.sha[:7]}", "muted"),
            (f"  {found.note}", "fg"),
        ]
        rows: list[Pieces] = [apart(what, [(who, "muted")], width)]
        if height >= 5:
            rows.append([])
        if self._steps is not None and self._steps.steps:
            rows.append(drawing.steps(self._steps.steps, width, self.now))
            rows.append(self._bar(self._steps, width))
        rows.append(drawing.outcome(found) if not self._wrong else [(f"✗ {self._wrong}", "err")])
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
        return self._commits[:height] if self._commits else [[("no commits to show", "dim")]]

    def _draw_facts(self, width: int, height: int) -> list[Pieces]:
        rows: list[Pieces] = []
        for gate in self._gates:
            mark = "passed" if gate.overridden_by else "open" if gate.open else "closed"
            ink = "ok" if gate.open else "warn"
            rows += wrapped([(f"{sign(mark)} {gate.name}", f"{ink} bold"), (gate.sentence, "fg")], width, 3)
        rows += self._approvals
        found = self.deployment
        facts = {
            "asked by": f"{found.by}, {drawing.moment(found.created_at)}",
            "started": drawing.moment(found.started_at),
            "ended": drawing.moment(found.completed_at),
            "commit": found.sha,
            "content": found.content[:12],
            "undone by": found.rolled_back_by,
            "receipt": f"sha256 {self._receipt[:12]}…" if self._receipt else "",
            "id": found.id,
        }
        rows += [[(f"{name:<10}", "muted"), (value, "fg")] for name, value in facts.items() if value]
        return rows[:height]

    # Keys

    def action_back(self) -> None:
        """Close what is open on top, else go back to the list."""
        if self._field.has_class("-on"):
            self._close_field()
        elif self.is_current:
            self.app.pop_screen()

    def action_side(self) -> None:
        """Where there is no room for both: the facts, or the log."""
        self.toggle_class("-side")

    def action_filter(self) -> None:
        self._field.add_class("-on")
        self._field.focus()

    def _close_field(self) -> None:
        self._field.remove_class("-on")
        self._output.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Lines are found while one types; what is no expression yet leaves the log as it is."""
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


def _decision(found: Approval) -> Pieces:
    """What a person decided, and what that is bound to."""
    word = found.verdict.value
    ink = "dim" if found.voided_at else {"approved": "ok", "rejected": "err"}.get(word, "warn")
    void = f"  void: {found.void_reason}" if found.voided_at else ""
    note = f"  {found.note}" if found.note else ""
    said = f"{sign('ok' if word == 'approved' else 'warn')} {word} by {found.by_name or found.by}"
    return [(said, ink), (f"  {found.content[:12]}", "muted"), (note, "fg"), (void, "warn")]


def _commits(found: Changes) -> list[Pieces]:
    """A line for each commit that comes, then for each that goes away."""
    rows: list[Pieces] = []
    for mark, ink, commits in (("+", "ok", found.commits), ("-", "err", found.leaving)):
        rows += [
            [
                (f"{mark} ", ink),
                (f"{each.sha[:7]} ", "muted"),
                (f"{each.author}  ", "primary"),
                (each.subject, "fg"),
            ]
            for each in commits
        ]
    return rows


def _counted(found: Changes) -> str:
    leaving = f", {found.leaving_total} leave" if found.leaving_total else ""
    return f"{counted(found.total, 'commit')}{leaving}"
