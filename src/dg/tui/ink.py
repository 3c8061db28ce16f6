"""The one door between text and the terminal: pieces of text, and what they are written in, become lines.

Nothing else in the dashboard makes a Segment or a Content: so no text of the outside reaches the terminal,
or is read as markup, without having been made plain here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.color import Color
from rich.console import RenderableType
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.color import Color as Background
from textual.content import Content
from textual.filter import LineFilter
from textual.strip import Strip

from dg.core.text import plain
from dg.tui.fading import faded
from dg.tui.palette import NIGHT
from dg.tui.signs import ASCII

if TYPE_CHECKING:
    from textual.widget import Widget

Piece = tuple[str, str]
"""Some text, and words for what it is written in: an ink, then `bold`, `underline`, `reverse`, or `badge`,
which makes the ink the ground. No words are the foreground."""

Pieces = Sequence[Piece]

STALE, CONTENT = "-stale", "content"
"""Classes of a screen without a connection, and of what on it may be no longer so."""


class Door(LineFilter):
    """The last look at every line that goes to the terminal, whichever widget drew it.

    What Textual shows by itself (a title, a toast, an input) is made plain here; `ascii` does without signs
    that are not ASCII.
    """

    def __init__(self, *, ascii: bool) -> None:  # noqa: A002
        super().__init__()
        self.ascii = ascii

    def apply(self, segments: list[Segment], background: Background) -> list[Segment]:
        return [self._plain(segment) for segment in segments]

    def _plain(self, segment: Segment) -> Segment:
        text = segment.text
        if text.isascii() and text.isprintable():
            return segment
        safe = plain(text)
        safe = safe.translate(ASCII) if self.ascii else safe
        return segment if safe == text else Segment(safe, segment.style, segment.control)


class Inks:
    """What one widget writes with: styles out of the theme that is on, on the ground of the widget."""

    def __init__(self, widget: Widget) -> None:
        self._widget = widget
        self._theme = ""
        self._styles: dict[str, Style] = {}

    def style(self, words: str) -> Style:
        """The style that `words` mean. Raises KeyError for an ink that there is not."""
        if self._theme != self._widget.app.theme:
            self._theme = self._widget.app.theme
            self._styles.clear()
        if words not in self._styles:
            self._styles[words] = self._made(words)
        return self._styles[words]

    def ground(self, name: str) -> Style:
        """A background alone."""
        return Style(bgcolor=self.colour(name))

    def strip(self, pieces: Iterable[Piece], width: int, base: Style | None = None) -> Strip:
        """One line of exactly `width` cells on `base`, the widget's own style if None; cut or filled up."""
        ground = self._widget.rich_style if base is None else base
        segments, used = list[Segment](), 0
        for text, words in pieces:
            safe = plain(text)
            segments.append(Segment(safe, ground + self.style(words)))
            used += cell_len(safe)
        if used < width:
            segments.append(Segment(" " * (width - used), ground))
        if is_stale(self._widget):
            page = self._widget.background_colors[1]
            segments = [Segment(each.text, faded(each.style or ground, page)) for each in segments]
        made = Strip(segments)
        return made if used <= width else made.adjust_cell_length(width, ground)

    def colour(self, name: str) -> Color:
        """A colour of the theme that is on; what a theme lacks that is not dg's own comes from dg's night."""
        found = self._widget.app.theme_variables.get(f"dg-{name}", NIGHT.variables()[f"dg-{name}"])
        return Color.parse(found)

    def _made(self, words: str) -> Style:
        ink, *manners = words.split() or ("",)
        if not ink:
            return Style.null()
        if "badge" in manners:
            return Style(color=self.colour("background"), bgcolor=self.colour(ink), bold=True)
        style = Style(color=self.colour(ink), **dict[str, Any](dict.fromkeys(manners, True)))
        # Without hues, what is wrong must still stand out most.
        return style + Style(reverse=True) if ink == "err" and self._widget.app.no_color else style


def is_stale(widget: Widget) -> bool:
    """Whether what a widget shows may be no longer so."""
    return widget.screen.has_class(STALE) and any(
        node.has_class(CONTENT) for node in widget.ancestors_with_self
    )


def fit(text: str, width: int) -> str:
    """`text` made plain and cut to `width` cells, with `…` where something is missing."""
    safe = plain(text)
    if cell_len(safe) <= width:
        return safe
    return set_cell_size(safe, width - 1) + "…" if width > 0 else ""


def _ended(text: str) -> str:
    """The same number of cells, with a sign that something is missing behind them."""
    return text if text.endswith("…") else set_cell_size(text, cell_len(text) - 1) + "…"


def column(pieces: Pieces, width: int, *, right: bool = False) -> list[Piece]:
    """Pieces cut or filled up to exactly `width` cells."""
    fitted, room = list[Piece](), width
    for text, words in pieces:
        if room <= 0:
            if text.strip() and fitted:
                last, manners = fitted[-1]
                fitted[-1] = (_ended(last), manners)
            break
        cut = fit(text, room)
        fitted.append((cut, words))
        room -= cell_len(cut)
    if room <= 0:
        return fitted
    return [(" " * room, ""), *fitted] if right else [*fitted, (" " * room, "")]


def apart(left: Pieces, right: Pieces, width: int) -> list[Piece]:
    """Two groups at the two ends of a line; the left one gives way."""
    room = width - measure(right)
    if room <= 1:
        return column(left, width)
    return [*column(left, room - 1), (" ", ""), *right]


def wrapped(pieces: Pieces, width: int, rows: int) -> list[list[Piece]]:
    """Pieces on at most `rows` lines of `width` cells, broken between words; what is too much is cut."""
    words = [(word, ink) for text, ink in pieces for word in plain(text).split(" ") if word]
    lines: list[list[Piece]] = [[]]
    for word, ink in words:
        used = measure(lines[-1])
        if lines[-1] and used + 1 + cell_len(word) > width and len(lines) < rows:
            lines.append([(word, ink)])
        else:
            lines[-1].append((f" {word}" if lines[-1] else word, ink))
    return [column(line, width) for line in lines]


def changed(before: Pieces, after: Pieces, width: int) -> tuple[int, int]:
    """From which cell to which (exclusive) two lines of `width` cells differ; 0 and 0 where they do not."""
    before, after = list(before), list(after)
    if before == after:
        return 0, 0
    same = next((at for at, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), 0)
    first = measure(after[:same])
    if measure(before) != measure(after) or len(before) != len(after):
        return min(first, width), width
    ends = zip(reversed(before), reversed(after), strict=True)
    tail = next(at for at, (one, other) in enumerate(ends) if one != other)
    return first, min(width, measure(after) - measure(after[len(after) - tail :]))


def measure(pieces: Iterable[Piece]) -> int:
    """The cells that pieces take."""
    return sum(cell_len(plain(text)) for text, _ in pieces)


def label(text: str) -> Content:
    """Text for a title, a label or a message of Textual's own: never read as markup."""
    return Content(plain(text))


def paragraph(rows: Iterable[Pieces]) -> Content:
    """Rows of pieces for a widget of Textual's own that wraps its text."""
    return Content("\n").join(
        Content.assemble(*((plain(text), _textual(words)) for text, words in row)) for row in rows
    )


def printed(text: str) -> RenderableType:
    """Text for the terminal that is left behind: its lines stay lines."""
    return Text(plain(text, multiline=True))


def _textual(words: str) -> str:
    ink, *manners = words.split() or ("",)
    if not ink:
        return ""
    if "badge" in manners:
        return f"$dg-background on $dg-{ink} bold"
    return " ".join((f"$dg-{ink}", *manners))
