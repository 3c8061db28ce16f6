"""`c` on the access screen: may I, or somebody else, do something, and by which grant."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from dg.core.errors import Invalid, Problem
from dg.tui.actions import line
from dg.tui.background import begin
from dg.tui.errors import sentence
from dg.tui.hints import hint
from dg.tui.ink import Pieces, label, paragraph
from dg.tui.signs import sign
from dg.tui.steady import Modal
from dg.tui.views import ENVIRONMENTS

if TYPE_CHECKING:
    from dg.tui.app import Dashboard

FORM = "ACTION [ENVIRONMENT] [SERVICE] [as WHO]"


class May(Modal):
    """A question in a line, and the server's answer with its reason. Nothing is changed."""

    CSS = """
    May { align: center middle; background: $background 60%; }
    May #box {
        width: 88; max-width: 100%; height: auto; padding: 1 2; background: $surface; border: round $primary;
    }
    May Input { border: none; height: 1; padding: 0; background: $panel; margin-bottom: 1; }
    May Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Close", id="may.close")]

    def __init__(self) -> None:
        super().__init__()
        self._box = Vertical(id="box")
        self._box.border_title = label("may I?")
        self._field = Input(placeholder="lane:freeze production", compact=True)
        self._answer = Static("", id="answer")

    def compose(self) -> ComposeResult:
        with self._box:
            yield Static(paragraph([[(FORM, "muted")]]))
            yield self._field
            yield self._answer

    def on_mount(self) -> None:
        self._box.border_subtitle = label(hint(self, "may.close", "closes"))
        self._field.focus()

    def on_input_submitted(self) -> None:
        begin(self, "may", self._ask)

    async def _ask(self) -> None:
        from dg.core.types import Environment

        dashboard = cast("Dashboard", self.app)
        try:
            action, environment, service, who = question(self._field.value)
            found = await dashboard.feed.call(
                lambda dg: dg.check(
                    action,
                    environment=Environment(environment) if environment else None,
                    service=service,
                    principal=who,
                )
            )
        except Problem as problem:
            self._show([[(f"{sign('fail')} {sentence(problem)}", "err")]])
            return
        head = (f"{sign('ok')} yes: ", "ok bold") if found.allowed else (f"{sign('fail')} no: ", "err bold")
        flags = {"--env": environment, "--service": service, "--as": who}
        given = [word for flag, value in flags.items() if value for word in (flag, value)]
        command = line("can-i", action, *given)
        self._show([[head, (found.why, "fg")], [("the same: ", "dim"), (command, "muted")]])

    def _show(self, rows: list[Pieces]) -> None:
        self._answer.update(paragraph(rows))

    def action_leave(self) -> None:
        self.dismiss()


def question(text: str) -> tuple[str, str | None, str | None, str | None]:
    """The action, environment, service and principal that a line asks for. Raises Invalid."""
    asked, _, who = f" {text.strip()} ".partition(" as ")
    action, *place = asked.split() or [""]
    if not action or len(place) > 2:
        raise Invalid(f"write {FORM}", field="action")
    environment = next((word for word in place if word in ENVIRONMENTS), None)
    others = [word for word in place if word != environment]
    if len(others) > 1:
        raise Invalid(f"write {FORM}", field="environment")
    return action, environment, others[0] if others else None, who.strip() or None
