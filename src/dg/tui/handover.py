"""`H`: the shift in words, to read, to copy, to a file or to Slack."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from dg.client.moments import HINT, moment_before
from dg.core.clock import SECOND, to_datetime
from dg.core.errors import Problem
from dg.tui.actions import Act, Field, Look, Values, line
from dg.tui.background import begin
from dg.tui.errors import sentence
from dg.tui.fields import option
from dg.tui.frame.confirm import Confirm
from dg.tui.frame.prompt import Prompt
from dg.tui.frame.saving import Save, may_save
from dg.tui.hints import hint
from dg.tui.ink import Pieces, label, paragraph
from dg.tui.steady import Modal

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.tui.app import Dashboard

_MARK = re.compile(r"(?<!\\)(\*\*)")
_ESCAPED = re.compile(r"\\(.)")

SHIFT = 8 * 3600
"""Seconds that a shift lasts unless somebody says when it began."""


def post(text: str) -> Act:
    """Have the bot post a handover, in the name of who is signed in."""
    from dg.client.markdown import shortened
    from dg.core.slack.models import LONGEST

    async def look(_: Client, values: Values) -> Look:
        where = values["channel"] or "the channel of the first route"
        return Look([[("the bot posts it in ", "muted"), (where, "fg bold"), (", in your name", "muted")]])

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.slack.post_handover(
            shortened(text, LONGEST), channel=values["channel"] or None, key=key
        )

    def command(values: Values) -> str:
        return line("handover", "--to-slack", *option(values, "channel"))

    return Act(
        title="post the handover",
        right="handover:post",
        environment="",
        service="",
        look=look,
        send=send,
        command=command,
        done="the handover is on its way to Slack",
        fields=(Field("channel", "the id of a channel that the settings name; the first one without"),),
        later=True,
    )


_WITH_TEXT = {
    "handover.copy": "copies",
    "handover.write": "saves to a file",
    "handover.post": "posts in Slack",
    "handover.since": "says since when",
}
"""What can be done with the summary, by the names of the keys."""


class HandoverSheet(Modal):
    """The summary of the shift; what is passed on is Markdown."""

    CSS = """
    HandoverSheet { align: center middle; background: $background 60%; }
    HandoverSheet #handover {
        width: 110; max-width: 100%; height: 90%; padding: 1 2; background: $surface; border: round $primary;
        border-title-style: bold; border-subtitle-color: $dg-muted;
    }
    HandoverSheet Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy", "Copy", id="handover.copy"),
        Binding("ctrl+s,w", "write", "Save to a file", id="handover.write"),
        Binding("p", "post", "Post in Slack", id="handover.post"),
        Binding("s", "since", "Since …", id="handover.since"),
        Binding("r", "again", "Again", show=False, id="handover.again"),
        Binding("escape,q", "leave", "Close", id="handover.leave"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self._lasting: int | None = SHIFT
        self._since = 0
        self._box = VerticalScroll(id="handover")
        self._box.border_title = label("handover")
        self._shown = Static("")
        self._save = Save()

    @property
    def dashboard(self) -> Dashboard:
        return cast("Dashboard", self.app)

    def compose(self) -> ComposeResult:
        with self._box:
            yield self._shown
        yield self._save

    def on_mount(self) -> None:
        self._box.focus()
        self.action_again()

    def action_again(self) -> None:
        """Read everything once more."""
        self.text = ""
        self._show([[("reading the shift …", "muted")]])
        begin(self, "handover", self._read)

    async def _read(self) -> None:
        from dg.client.handover import gather
        from dg.client.markdown import markdown

        now = self.dashboard.clock.micros()
        since = self._since if self._lasting is None else now - self._lasting * SECOND

        async def ask(dg: Client) -> str:
            return markdown(await gather(dg, since, now))

        try:
            self.text = await self.dashboard.feed.call(ask)
        except Problem as problem:
            self._show([[(f"✗ {sentence(problem)}", "err")]])
        else:
            self._show([_drawn(line) for line in self.text.splitlines()])

    def _show(self, rows: list[Pieces]) -> None:
        keys = _WITH_TEXT if self.text else {}
        may = {name: does for name, does in keys.items() if self.check_action(name.rpartition(".")[2], ())}
        said = [hint(self, name, does) for name, does in may.items()]
        self._box.border_subtitle = label(" · ".join((*said, hint(self, "handover.leave", "closes"))))
        self._shown.update(paragraph(rows))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without a text there is nothing to pass on, and no file in a browser."""
        if not may_save(self.app, action):
            return False
        if action == "post" and not self.dashboard.hands.may("handover:post"):
            return False
        ready = bool(self.text) and (action != "post" or self.dashboard.store.link.live)
        return ready or None if action in ("copy", "write", "post") else True

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self.text)
        self.dashboard.tell("copied the handover")

    def action_write(self) -> None:
        moment = to_datetime(self.dashboard.clock.micros())
        name = f"handover-{moment:%Y-%m-%d-%H%M}.md"
        self._save.ask("the handover", name, lambda: self.text, self._box)

    def action_post(self) -> None:
        """Have the bot post it; a question comes first, as before any change."""
        self.app.push_screen(Confirm(post(self.text)))

    def action_since(self) -> None:
        self.app.push_screen(Prompt("when the shift began", HINT, self._begin_at))

    def _begin_at(self, text: str) -> str:
        now = self.dashboard.clock.micros()
        found = moment_before(text, now)
        if found is None or found > now:
            return f"that is not {HINT}"
        self._since, self._lasting = found, None
        self.action_again()
        return ""

    def action_leave(self) -> None:
        self.dismiss()


def _drawn(line: str) -> Pieces:
    """A line of the Markdown as it is meant: its marks are for those who get a copy."""
    if line.startswith("#"):
        return [(line.lstrip("# "), "primary bold")]
    found, ink = list[tuple[str, str]](), "fg"
    for piece in _MARK.split(line):
        if piece == "**":
            ink = "fg" if ink == "fg bold" else "fg bold"
        elif piece:
            found.append((_ESCAPED.sub(r"\1", piece), ink))
    return found
