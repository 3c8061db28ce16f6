"""`:` opens a line at the foot of the screen: what is said there is asked about, shown, or gone to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Static

from dg.core.errors import Problem, Refused
from dg.core.grammar import Command, Completions, Misread, offered, spoken
from dg.core.grammar import commands as c
from dg.core.grammar.verbs import BY_COMMAND, BY_NAME
from dg.core.types import Environment
from dg.tui.background import begin
from dg.tui.command import answers
from dg.tui.command.asking import Asking
from dg.tui.command.words import CHANGES, Own, Vocabulary
from dg.tui.errors import sentence
from dg.tui.frame.confirm import Confirm
from dg.tui.frame.sheet import Sheet
from dg.tui.hints import hint
from dg.tui.ink import Pieces, label
from dg.tui.steady import Modal
from dg.tui.views import PRODUCTION
from dg.tui.widgets.panel import Panel

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.access.models import Principal
    from dg.core.deployments.models import Lane, Waiting
    from dg.tui.app import Dashboard

ROWS = 8
"""Completions that are seen at once."""


_HINTS = {"complete": "completes", "before": "brings back", "leave": "leaves"}
"""What its keys do, by the ends of their names."""


class CommandLine(Modal):
    """One line. It is left with escape, or when what it said was begun."""

    CSS = """
    CommandLine { align: left bottom; background: $background 0%; }
    CommandLine #line { width: 100%; height: auto; background: $panel; }
    CommandLine #options { height: auto; background: $panel; display: none; padding: 0 1; }
    CommandLine.-options #options { display: block; }
    CommandLine #hint { height: 1; background: $panel; padding: 0 1; }
    CommandLine #input { height: 1; }
    CommandLine #colon { width: 2; height: 1; padding: 0 0 0 1; color: $primary; background: $panel; }
    CommandLine Input { border: none; height: 1; padding: 0; background: $panel; width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave", id="command.leave"),
        Binding("tab", "complete(1)", "Complete", id="command.complete"),
        Binding("shift+tab", "complete(-1)", "Complete back", show=False, id="command.complete-back"),
        Binding("up", "before", "Line before", show=False, id="command.before"),
        Binding("down", "after", "Line after", show=False, id="command.after"),
    ]

    def __init__(self, dashboard: Dashboard, typed: str = "") -> None:
        super().__init__()
        self._vocabulary = Vocabulary(
            dashboard.store, dashboard.hands, dashboard.tabs, dashboard.saved_filters.names()
        )
        self._asking = Asking(dashboard.store, dashboard.feed)
        self._found = Completions(0)
        self._at: int | None = None
        self._begun = ""
        self._wrong: Misread | str = ""
        self._set = ""
        self._field = Input(typed, id="said", select_on_focus=False, compact=True)
        self._options = Panel(self._draw_options, id="options")
        self._hint = Panel(self._draw_hint, id="hint")

    @property
    def dashboard(self) -> Dashboard:
        return cast("Dashboard", self.app)

    def compose(self) -> ComposeResult:
        with Vertical(id="line"):
            yield self._options
            yield self._hint
            with Horizontal(id="input"):
                yield Static(label(":"), id="colon")
                yield self._field

    def on_mount(self) -> None:
        self.dashboard.history.begin()
        self._field.focus()
        self._look()

    # While one types

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._wrong = ""
        if event.value != self._set:
            self._look()
        self._redraw()

    def _look(self) -> None:
        """What may come next, none of it chosen."""
        self._at, self._begun = None, self._field.value
        self._found = self._vocabulary.complete(self._begun)
        self._redraw()

    def _put(self, line: str, *, looked: bool) -> None:
        """Show a line; `looked` keeps the completions as they are."""
        self._set = line if looked else ""
        self._field.value = line
        self._field.cursor_position = len(line)
        if not looked:
            self._look()

    def action_complete(self, step: int) -> None:
        """Take the only completion, or go through them."""
        options, start = self._found.options, self._found.start
        if not options:
            return
        if len(options) == 1:
            self._put(self._begun[:start] + options[0] + " ", looked=False)
            return
        first = 0 if step > 0 else len(options) - 1
        self._at = first if self._at is None else (self._at + step) % len(options)
        self._put(self._begun[:start] + options[self._at], looked=True)
        self._redraw()

    def action_before(self) -> None:
        self._put(self.dashboard.history.before(self._field.value), looked=False)

    def action_after(self) -> None:
        self._put(self.dashboard.history.after(self._field.value), looked=False)

    def action_leave(self) -> None:
        self.dismiss()

    # Drawing

    def _redraw(self) -> None:
        rows = -(-len(self._found.options) // self._across) if self._found.options else 0
        self.set_class(bool(rows), "-options")
        self._options.styles.height = max(1, min(ROWS, rows))
        self._options.redraw()
        self._hint.redraw()

    @property
    def _width(self) -> int:
        return max((len(option) for option in self._found.options), default=0) + 2

    @property
    def _across(self) -> int:
        return max(1, (self.app.size.width - 2) // self._width)

    def _draw_options(self, width: int, height: int) -> list[Pieces]:
        options, across = self._found.options, self._across
        rows = [list(options[at : at + across]) for at in range(0, len(options), across)]
        chosen = (self._at or 0) // across
        top = max(0, min(chosen - height + 1, len(rows) - height))
        shown: list[Pieces] = []
        for row, words in enumerate(rows[top : top + height], top):
            shown.append([self._piece(row * across + at, word) for at, word in enumerate(words)])
        return shown

    def _piece(self, at: int, word: str) -> tuple[str, str]:
        return word.ljust(self._width), "primary bold reverse" if at == self._at else "fg"

    def _draw_hint(self, width: int, height: int) -> Sequence[Pieces]:
        line = self._field.value
        if isinstance(self._wrong, Misread):
            return [[(f"✗ {self._wrong.message} ", "err bold"), (self._wrong.hint, "fg")]]
        if self._wrong:
            return [[(f"✗ {self._wrong}", "err bold")]]
        if not line.strip():
            keys = " · ".join(hint(self, f"command.{id_}", does) for id_, does in _HINTS.items())
            return [[(f"{keys} · help says what there is", "muted")]]
        match self._vocabulary.read(line):
            case Misread(message, way):
                return [[(f"{message} {way}", "muted")]]
            case Own(word):
                return [[(f"⏎ {word.summary}", "fg")]]
            case command if isinstance(command, CHANGES):
                return [[("⏎ asks first: ", "warn"), (spoken(command), "fg")]]
            case command:
                return [[(f"⏎ {BY_COMMAND[type(command)].summary}", "fg")]]

    def _say(self, wrong: Misread | str) -> None:
        self._wrong = wrong
        if isinstance(wrong, Misread) and wrong.end > wrong.start:
            self._field.cursor_position = wrong.end
        self._redraw()

    # What becomes of it

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        line = event.value.strip()
        if not line:
            self.dismiss()
            return
        match self._vocabulary.read(event.value):
            case Misread() as misread:
                self._say(misread)
            case Own(word, rest):
                self._own(line, word.name, rest)
            case command:
                begin(self, "command", partial(self._carry_out, line, command))

    def _own(self, line: str, name: str, rest: str) -> None:
        try:
            run = self._meant(name, rest)
        except Problem as wrong:
            self._say(sentence(wrong))
        else:
            self._done(line, run)

    def _meant(self, name: str, rest: str) -> Callable[[], object]:
        """What one of the dashboard's own words does. Raises Invalid, NotFound."""
        app = self.dashboard
        match name:
            case "quit":
                return app.exit
            case "keys":
                return app.action_help
            case "reconnect":
                return app.action_retry
            case "theme":
                return partial(app.action_theme, app.theme_called(rest))
            case "as":
                return partial(app.look_back, app.moment_called(rest.removeprefix("of ")))
            case "handover":
                return app.action_handover
            case "go":
                name, _, rest = rest.partition(" ")
                mode = app.mode_called(name)
                return partial(app.go_to, mode, app.wanted(mode, rest))
            case _:
                return partial(app.go_to, name, app.wanted(name, rest))

    async def _carry_out(self, line: str, command: Command) -> None:
        try:
            await self._ask_or_look(line, command)
        except Problem as problem:
            self._say(sentence(problem))

    async def _ask_or_look(self, line: str, command: Command) -> None:
        app = self.dashboard
        if isinstance(command, CHANGES):
            # Before anything is looked for: who may not send it is told so, whatever it names.
            if closed := app.hands.closed():
                self._say(closed)
                return
            act = await self._asking.act(command)
            if objection := app.hands.objection(act, {each.name: each.value for each in act.fields}):
                self._say(objection)
                return
            self._done(line, lambda: app.push_screen(Confirm(act, whole=True)))
        else:
            self._done(line, await self._looked(command))

    async def _looked(self, command: Command) -> Callable[[], object]:
        """What shows the answer to a line that only looks."""
        app = self.dashboard
        match command:
            case c.Show(name):
                found = await self._asking.deployment(name)
                return partial(app.open_view, found)
            case c.Status(None, None):
                return partial(app.go_to, "overview")
            case c.Status(service, environment):
                return partial(self._sheet, "status", self._status(service, environment))
            case c.Why(service, environment):
                return partial(
                    self._sheet,
                    f"why {service}/{environment}",
                    await self._why(service, environment),
                    environment,
                )
            case c.Health(environment):
                return partial(app.go_to, "environments", environment.value if environment else "")
            case c.Env(environment):
                return partial(app.go_to, "environments", f"{environment.value} config")
            case c.Who():
                return partial(self._sheet, "who", await self._who())
            case c.Mute() | c.Unmute():
                raise Refused("a channel is muted in Slack, or by `dg slack mute`", reason="elsewhere")
            case c.Subscribe() | c.Unsubscribe() | c.Subscriptions():
                raise Refused("a channel subscribes in Slack, or by `dg slack subscribe`", reason="elsewhere")
            case c.Help(verb):
                return partial(self._sheet, "help", self._help(verb))
            case _:
                raise TypeError(f"{type(command).__name__} does not only look")

    def _sheet(self, title: str, rows: list[Pieces], environment: Environment | None = None) -> None:
        production = environment is not None and environment.value == PRODUCTION
        self.dashboard.push_screen(Sheet(title, rows, production=production))

    def _status(self, service: str | None, environment: Environment | None) -> list[Pieces]:
        def wanted(name: str, where: str) -> bool:
            return (service in (None, name)) and (environment is None or environment.value == where)

        store = self.dashboard.store
        lanes = [lane for lane in store.lanes.values() if wanted(*lane.key)]
        running = [each for each in store.running if wanted(each.service, each.environment)]
        return answers.status(lanes, running, self.dashboard.clock.micros())

    async def _why(self, service: str, environment: Environment) -> list[Pieces]:
        async def ask(dg: Client) -> tuple[Lane, tuple[Waiting, ...]]:
            return await dg.lanes.get(service, environment), await dg.lanes.queue(service, environment)

        return answers.why(*await self.dashboard.feed.call(ask))

    async def _who(self) -> list[Pieces]:
        async def ask(dg: Client) -> tuple[Principal, str]:
            return await dg.whoami(), dg.url

        return answers.who(*await self.dashboard.feed.call(ask))

    def _help(self, verb: str | None) -> list[Pieces]:
        if verb is not None:
            return answers.said_so(BY_NAME[verb])
        return answers.said_here(offered(self._vocabulary.may), self._vocabulary.words)

    def _done(self, line: str, then: Callable[[], object]) -> None:
        """Leave, and then do it: as somebody would who presses a key on the screen below."""
        self.dashboard.history.add(line)
        self.dismiss()
        self.dashboard.call_later(then)
