"""The last line of every screen: the keys that do something there, the one that lists them all always."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
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
        found = list(super().compose())
        self._fit([each for each in found if isinstance(each, FooterKey)])
        yield from found

    def on_resize(self) -> None:
        self._fit(list(self.query(FooterKey)))

    def _fit(self, keys: Sequence[FooterKey]) -> None:
        """Hide the keys that find no room: half of one says nothing, or something else."""
        for key in keys:
            key.set_class(key.action.rpartition(".")[2] == LAST, "-last")
        room = self.size.width - sum(_cells(key) for key in keys if key.has_class("-last"))
        for key in keys:
            if self.size.width and not key.has_class("-last"):
                room -= _cells(key)
                key.display = room >= 0


def _cells(key: FooterKey) -> int:
    """How wide it is: its key and what it does, with a blank around and between them."""
    return cell_len(key.key_display) + cell_len(key.description) + 3
