"""The question before a change: what it would do, what a yes takes, and the command that does the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast
from uuid import uuid4

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Input, Static

from dg.core.errors import Problem, Unavailable
from dg.tui.actions import Act, Field, Look
from dg.tui.background import begin
from dg.tui.errors import sentence
from dg.tui.frame.sheet import shown
from dg.tui.hints import hint, key_of
from dg.tui.ink import Pieces, label, paragraph
from dg.tui.steady import Modal
from dg.tui.views import PRODUCTION

if TYPE_CHECKING:
    from dg.tui.app import Dashboard

NOTHING_SENT = "nothing has been sent yet"


class Typed(Input):
    """A name that a person has to type: what is pasted was not read."""

    def _on_paste(self, event: events.Paste) -> None:
        event.prevent_default()
        event.stop()

    def action_paste(self) -> None:
        """Nothing, as with a paste by the terminal."""


class Ask(Static, can_focus=True):
    """Waits for `y`; any other key that is no move does nothing, Enter least of all."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "screen.yes", "Yes", id="confirm.yes")]


def _hint(field: Field) -> str:
    """What stands in a field that is empty."""
    return field.hint if field.required or "empty" in field.hint else f"{field.hint} (may be empty)"


class Confirm(Modal):
    """One act, until the answer is there. When what it was asked about moves, it can only be left."""

    CSS = """
    Confirm { align: center middle; background: $background 70%; }
    Confirm #box {
        width: 88; max-width: 100%; height: auto; max-height: 90%; padding: 1 2; background: $surface;
        border: round $primary; border-title-style: bold; border-subtitle-color: $dg-muted;
    }
    Confirm.-production #box {
        border: heavy $dg-err; border-title-color: $dg-background; border-title-background: $dg-err;
    }
    Confirm Input { border: none; height: 1; padding: 0; background: $panel; margin-bottom: 1; }
    Confirm .field { height: 2; }
    Confirm .field Input { width: 1fr; }
    Confirm .field .name { width: 14; }
    Confirm Static { height: auto; }
    Confirm .name { color: $dg-muted; }
    Confirm #look { margin-bottom: 1; }
    Confirm #typed { display: none; margin: 0; }
    Confirm.-typed #typed { display: block; }
    Confirm #said { margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave", id="confirm.leave"),
        Binding("ctrl+t", "copy_command", "Copy the command", id="confirm.copy"),
    ]

    def __init__(self, act: Act, *, whole: bool = False) -> None:
        """`whole` says that what the act takes was said before, as in a command: its look comes at once."""
        super().__init__()
        self.act = act
        self._whole = whole
        self._key = uuid4().hex
        self._look: Look | None = None
        self._stamp: object = None
        self._moved = self._sending = False
        self._inputs = {
            each.name: Input(
                each.value,
                placeholder=_hint(each),
                password=each.secret,
                id=f"field-{each.name}",
                compact=True,
            )
            for each in act.fields
        }
        self._look_text = Static("", id="look")
        self._ask = Ask("", id="ask")
        self._typed = Typed(id="typed", compact=True)
        self._command = Static("", id="command")
        self._said = Static("", id="said")
        self._box = VerticalScroll(id="box")

    @property
    def dashboard(self) -> Dashboard:
        return cast("Dashboard", self.app)

    @property
    def values(self) -> dict[str, str]:
        """What was typed, without the space around it."""
        return {name: field.value.strip() for name, field in self._inputs.items()}

    @property
    def look(self) -> Look | None:
        """What the server says that it would do, None as long as it has not."""
        return self._look

    @property
    def missing(self) -> Field | None:
        """The first field that has to be filled in."""
        return next((each for each in self.act.fields if each.required and not self.values[each.name]), None)

    def compose(self) -> ComposeResult:
        self._box.border_title = label(self.act.title.upper())
        self._box.border_subtitle = label(f"{self._way_out} · {NOTHING_SENT}")
        with self._box:
            for each in self.act.fields:
                with Horizontal(classes="field"):
                    yield Static(paragraph([[(each.name, "muted")]]), classes="name")
                    yield self._inputs[each.name]
            yield self._look_text
            yield self._ask
            yield self._typed
            yield self._command
            yield self._said

    def on_mount(self) -> None:
        self._stamp = self._now()
        self._show()
        if self._inputs:
            empty = (name for name, field in self._inputs.items() if not field.value)
            self._inputs[self.act.first or next(empty, next(iter(self._inputs)))].focus()
        self._whole = self._whole and self.missing is None
        if self._whole or not self.act.later:
            self._begin_look()

    # What it would do

    def _begin_look(self) -> None:
        self._look = None
        self._look_text.update(label("looking what it would do …"))
        begin(self, "look", self._ask_server)

    async def _ask_server(self) -> None:
        values = self.values
        try:
            look = await self.dashboard.feed.call(lambda dg: self.act.look(dg, values))
        except Problem as problem:
            self._say(sentence(problem), "err")
            self._look_text.update(label(""))
            return
        self._look, self._stamp = look, self._now()
        self._say("", "fg")
        self._show()
        if not self.act.fields or self.act.later or self._whole:
            self._focus_answer()

    def _show(self) -> None:
        look = self._look
        self.set_class(bool(look and look.ready and look.typed and not self._moved), "-typed")
        self.set_class(self.act.place(self.values)[0] == PRODUCTION, "-production")
        if look is not None:
            self._look_text.update(paragraph(look.rows))
        self._ask.update(paragraph([self._question()]))
        command: Pieces = [
            ("the same: ", "dim"),
            (self.act.command(self.values), "muted"),
            (f"  {hint(self, 'confirm.copy', 'copies')}", "dim"),
        ]
        self._command.update(paragraph([command]))

    def _question(self) -> Pieces:
        look = self._look
        if self._moved:
            key = key_of(self, "confirm.leave")
            return [(f"▲ it has changed while this was open: leave with {key} and look again", "warn bold")]
        if look is None:
            return [("enter shows what it would do", "muted")] if self.act.later else []
        if not look.ready:
            return [("it would be refused", "err")]
        if look.typed:
            return [("Type ", "muted"), (look.typed, "fg bold"), (" and press enter.", "muted")]
        out: Pieces = [("enter", "primary bold"), (", then ", "muted")] if self._in_field else []
        return [("Press ", "muted"), *out, ("y", "primary bold"), (" to do it.", "muted")]

    @property
    def _in_field(self) -> bool:
        """Whether what is typed goes into a field, a `y` too."""
        return any(field.has_focus for field in self._inputs.values())

    def on_descendant_focus(self) -> None:
        self._ask.update(paragraph([self._question()]))

    def _focus_answer(self) -> None:
        if self._look is not None and self._look.ready and not self._moved:
            (self._typed if self._look.typed else self._ask).focus()

    @property
    def _way_out(self) -> str:
        return hint(self, "confirm.leave", "leaves")

    def _now(self) -> object:
        return self.act.stamp(self.dashboard.store, self.values)

    def store_changed(self) -> None:
        """Called when the store has changed: what was asked about may have moved."""
        if not self._sending and not self._moved and self._look is not None and self._now() != self._stamp:
            self._moved = True
            self._show()

    # The answer

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if event.input is not self._typed:
            if self.act.later:
                self._look = None
            self._show()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.input is self._typed:
            self._answer_typed(event.value)
            return
        names = list(self._inputs)
        at = next(index for index, name in enumerate(names) if self._inputs[name] is event.input)
        if at + 1 < len(names):
            self._inputs[names[at + 1]].focus()
        elif missing := self.missing:
            self._inputs[missing.name].focus()
        elif self.act.later:
            self._begin_look()
        else:
            self._focus_answer()

    def _answer_typed(self, typed: str) -> None:
        if self._look is not None and typed == self._look.typed:
            self.action_yes(typed=True)
        else:
            self._say("not sent: that is not the name", "warn")

    def action_yes(self, *, typed: bool = False) -> None:
        """Send it, once."""
        look = self._look
        if self._sending or self._moved or look is None or not look.ready or (look.typed and not typed):
            return
        if missing := self.missing:
            self._inputs[missing.name].focus()
            return
        if objection := self.dashboard.hands.objection(self.act, self.values):
            self._say(objection, "warn")
            return
        self._sending = True
        self._box.border_subtitle = label("sending …")
        begin(self, "send", self._send)

    async def _send(self) -> None:
        values = self.values
        try:
            answer = await self.dashboard.feed.call(
                lambda dg: self.dashboard.hands.send(dg, self.act, values, self._key)
            )
        except Unavailable as problem:
            # It may have arrived. The same key again gets the first answer, and no second effect.
            self._failed(
                f"not known whether it arrived ({problem.message}): the same answer again is safe", "warn"
            )
        except Problem as problem:
            self._failed(sentence(problem), "err")
        except ValueError as objection:
            self._failed(str(objection), "warn")
        else:
            self.dashboard.tell(self.act.done)
            self._forget()
            self.dismiss()
            if self.act.show is not None:
                self.app.push_screen(shown(self.act.show(answer)))

    def _forget(self) -> None:
        """Leave no secret in a form that is over."""
        for each in self.act.fields:
            if each.secret:
                self._inputs[each.name].clear()

    def _failed(self, text: str, ink: str) -> None:
        self._sending = False
        self._box.border_subtitle = label(self._way_out)
        self._say(text, ink)

    def _say(self, text: str, ink: str) -> None:
        self._said.update(paragraph([[(text, f"{ink} bold")]]) if text else label(""))

    def action_leave(self) -> None:
        """Close it; what is under way to the server stays under way."""
        self._forget()
        self.dismiss()

    def action_copy_command(self) -> None:
        self.app.copy_to_clipboard(self.act.command(self.values))
        self.dashboard.tell("copied the command")
