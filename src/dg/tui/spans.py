"""What goes to the terminal of a picture that changed in some places: those cells alone."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate


class Spans(ChopsUpdate):
    """Textual's own writes each line from the edge of a widget on: for an age at its right end, all of it."""

    @classmethod
    def of(cls, update: ChopsUpdate) -> Spans:
        return cls(update.chops, update.spans, update.chop_ends)

    def render_segments(self, console: Console) -> str:
        return "".join(self._written(console))

    def _written(self, console: Console) -> Iterator[str]:
        for y, first, end in self.spans:
            for (x, strip), edge in zip(self.chops[y].items(), self.chop_ends[y], strict=True):
                left, right = max(x, first), min(edge, end)
                if strip is None or left >= right:
                    continue
                yield Control.move_to(left, y).segment.text
                # What is whole keeps what it was rendered to.
                whole = (left, right) == (x, edge)
                yield (strip if whole else strip.crop(left - x, right - x)).render(console)
