"""How what is known no longer to be so is drawn: fainter, and never fainter than can be read."""

from __future__ import annotations

from functools import lru_cache

from rich.style import Style
from textual.color import Color

READABLE = 4.5
"""The least contrast of text (WCAG 2.2, 1.4.3)."""
SHARE, STEP = 60, 5
"""Percent of a colour that are left where that can still be read, and how many more are tried where not."""


def luminance(colour: Color) -> float:
    """Relative luminance (WCAG 2.2), from 0 for black to 1 for white."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Color, other: Color) -> float:
    """From 1 for the same to 21 for black on white."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@lru_cache(4096)
def faded(style: Style, page: Color) -> Style:
    """The style with its ink blended into its ground, as far as text in it is readable; of a badge, whose ink
    is that of the page, the ground into the page. What could not be read before stays as it is.
    """
    if style.color is None or style.bgcolor is None:
        return style
    ink, ground = Color.from_rich_color(style.color), Color.from_rich_color(style.bgcolor)
    is_badge = contrast(ground, page) > contrast(ink, page)
    for percent in range(SHARE, 100, STEP):
        kept = percent / 100
        pair = (ink, page.blend(ground, kept)) if is_badge else (ground.blend(ink, kept), ground)
        if contrast(*pair) >= READABLE:
            return style + Style.from_color(pair[0].rich_color, pair[1].rich_color)
    return style
