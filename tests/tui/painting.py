"""Which lines of a widget are painted: what is painted again costs the terminal and the battery."""

from __future__ import annotations

from typing import Protocol

import pytest
from textual.strip import Strip


class LineWidget(Protocol):
    """A widget on Textual's line API."""

    def render_line(self, y: int) -> Strip: ...


def watched(widget: LineWidget, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the lines that the widget paints from now on."""
    painted: list[int] = []
    line = widget.render_line

    def render_line(y: int) -> Strip:
        painted.append(y)
        return line(y)

    monkeypatch.setattr(widget, "render_line", render_line)
    return painted
