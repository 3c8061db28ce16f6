"""Colours: readable on every ground, and still apart where a terminal has few of them."""

from __future__ import annotations

from itertools import product

import pytest
from rich.color import Color, ColorSystem
from rich.style import Style
from textual.color import Color as Colour

from dg.tui.fading import READABLE, contrast, faded
from dg.tui.palette import (
    COLOURS_16,
    COLOURS_256,
    FIGURES,
    GROUNDS,
    INKS,
    NIGHT,
    NO_COLOUR,
    PALETTES,
    Palette,
    fitting,
)


def between(one: str, other: str) -> float:
    """The contrast of two colours."""
    return contrast(Colour.parse(one), Colour.parse(other))


def test_contrast_is_measured_as_the_guideline_does() -> None:
    assert between("#000000", "#ffffff") == pytest.approx(21)
    assert between("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES)
def test_every_ink_is_readable_on_every_ground(palette: Palette) -> None:
    faint = {
        (ink, ground): round(found, 2)
        for ink, ground in product(INKS, GROUNDS)
        if (found := between(getattr(palette, ink), getattr(palette, ground))) < READABLE
    }
    assert faint == {}


@pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES)
def test_a_figure_is_seen_on_every_ground(palette: Palette) -> None:
    assert min(between(palette.calm, getattr(palette, ground)) for ground in GROUNDS) >= FIGURES


@pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES)
def test_what_is_stale_is_fainter_and_still_readable(palette: Palette) -> None:
    page = Colour.parse(palette.surface)
    for ink, ground in product(INKS, GROUNDS):
        fresh = Style(color=getattr(palette, ink), bgcolor=getattr(palette, ground))
        stale = faded(fresh, page)
        assert stale.color
        assert stale.bgcolor
        ratio = contrast(Colour.from_rich_color(stale.color), Colour.from_rich_color(stale.bgcolor))
        assert READABLE <= ratio <= between(getattr(palette, ink), getattr(palette, ground))
    assert faded(fg := Style(color=palette.fg, bgcolor=palette.surface), page) != fg


@pytest.mark.parametrize("palette", PALETTES.values(), ids=PALETTES)
def test_a_badge_is_readable(palette: Palette) -> None:
    inks = ("warn", "err", "prod", "primary")
    assert min(between(getattr(palette, ink), palette.background) for ink in inks) >= READABLE


@pytest.mark.parametrize("name", ["dg-night", "dg-day", "dg-colour-blind", "dg-contrast", "dg-256", "dg-16"])
def test_states_are_told_apart(name: str) -> None:
    palette = PALETTES[name]
    assert len({palette.ok, palette.warn, palette.err, palette.progress}) == 4


@pytest.mark.parametrize(
    ("palette", "system"), [(COLOURS_256, ColorSystem.EIGHT_BIT), (COLOURS_16, ColorSystem.STANDARD)]
)
def test_few_colours_are_shown_as_they_are_meant(palette: Palette, system: ColorSystem) -> None:
    """What a terminal of few colours makes of the palette is the palette itself: nothing collapses."""
    shown_as = {name: Color.parse(getattr(palette, name)).downgrade(system).number for name in INKS}
    hues = [shown_as[name] for name in ("ok", "warn", "err", "progress", "prod")]
    assert len(set(hues)) == 5


@pytest.mark.parametrize(
    ("system", "no_color", "palette"),
    [
        ("truecolor", False, NIGHT),
        ("256", False, COLOURS_256),
        ("standard", False, COLOURS_16),
        ("windows", False, COLOURS_16),
        (None, False, NO_COLOUR),
        ("truecolor", True, NO_COLOUR),
    ],
)
def test_the_terminal_decides(system: str | None, no_color: bool, palette: Palette) -> None:
    assert fitting(system, no_color=no_color) is palette
