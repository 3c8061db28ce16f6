"""The last line of every screen: the keys that do something there, the one that lists them all always."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Footer
from textual.widgets._footer import FooterKey

LAST = "help"
"""What the key at the right end does: where there is no room for all, it is the way to the others."""


class Foot(Footer):
    """Textual's own, with the key for help kept in sight."""

    DEFAULT_CSS = "Foot FooterKey.-last { dock: right; }"

    def __init__(self) -> None:
        super().__init__(show_command_palette=False)

    def compose(self) -> ComposeResult:
        for each in super().compose():
            if isinstance(each, FooterKey):
                each.set_class(each.action.rpartition(".")[2] == LAST, "-last")
            yield each
