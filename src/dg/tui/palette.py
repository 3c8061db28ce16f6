"""The dashboard's colours by meaning, for every kind of terminal; the app has them as Textual themes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from textual.theme import Theme

GROUNDS = ("background", "surface", "panel", "row")
"""What text stands on: the page, a box, a bar, a selected row."""

FIGURES = 3.0
"""The least contrast of what is drawn in `calm`, bars that say nothing in words (WCAG 2.2, 1.4.11)."""

INKS = ("fg", "muted", "dim", "primary", "ok", "warn", "err", "progress", "prod")
"""What text is written in. Each must be readable on each ground."""


@dataclass(frozen=True)
class Palette:
    """Colours as `#rrggbb`. Status hues are for status alone; `prod` is the identity of production."""

    name: str
    dark: bool
    background: str
    surface: str
    panel: str
    row: str
    border: str
    fg: str
    muted: str
    dim: str
    primary: str
    ok: str
    warn: str
    err: str
    progress: str
    prod: str
    calm: str

    def variables(self) -> Mapping[str, str]:
        """What style sheets and inks look colours up in: `dg-ok`, `dg-row`, and Textual's own names."""
        inks = {ink: str(value) for ink, value in asdict(self).items() if ink not in ("name", "dark")}
        own = {f"dg-{ink}": value for ink, value in inks.items()}
        return own | {
            "footer-background": self.panel,
            "footer-foreground": self.fg,
            "footer-item-background": self.panel,
            "footer-key-background": self.panel,
            "footer-key-foreground": self.primary,
            "footer-description-background": self.panel,
            "footer-description-foreground": self.muted,
            "border": self.primary,
            "border-blurred": self.border,
            "block-cursor-background": self.primary,
            "block-cursor-foreground": self.background,
            "input-selection-background": self.row,
            "scrollbar": self.calm,
            "scrollbar-hover": self.muted,
            "scrollbar-active": self.primary,
            "scrollbar-background": self.surface,
            "scrollbar-background-hover": self.surface,
            "scrollbar-background-active": self.surface,
            "scrollbar-corner-color": self.surface,
        }

    def theme(self) -> Theme:
        return Theme(
            name=self.name,
            dark=self.dark,
            primary=self.primary,
            secondary=self.progress,
            accent=self.prod,
            foreground=self.fg,
            background=self.background,
            surface=self.surface,
            panel=self.panel,
            success=self.ok,
            warning=self.warn,
            error=self.err,
            variables=dict(self.variables()),
        )


NIGHT = Palette(
    name="dg-night",
    dark=True,
    background="#0b0f15",
    surface="#10161e",
    panel="#17202b",
    row="#1b2a40",
    border="#2a3747",
    fg="#d7dfea",
    muted="#93a4b8",
    dim="#8496aa",
    primary="#6aa8ff",
    ok="#54c790",
    warn="#f0b93c",
    err="#ff6b70",
    progress="#4fc9e8",
    prod="#c79bff",
    calm="#4c7aaa",
)
DAY = Palette(
    name="dg-day",
    dark=False,
    background="#f6f8fa",
    surface="#ffffff",
    panel="#eaeff4",
    row="#dce8f7",
    border="#c3cdd8",
    fg="#1c2630",
    muted="#4d5b6a",
    dim="#55636f",
    primary="#0a55ba",
    ok="#106237",
    warn="#774d00",
    err="#b01f28",
    progress="#085d75",
    prod="#6b2fb4",
    calm="#5583bd",
)
COLOUR_BLIND = Palette(
    name="dg-colour-blind",
    dark=True,
    background="#0b0f15",
    surface="#10161e",
    panel="#17202b",
    row="#1f2c3d",
    border="#2a3747",
    fg="#e6ebf2",
    muted="#9fadbd",
    dim="#8e9dae",
    primary="#9db8d9",
    ok="#56b4e9",
    warn="#f0e442",
    err="#ff7f2a",
    progress="#d8a6c8",
    prod="#ffffff",
    calm="#64778d",
)
CONTRAST = Palette(
    name="dg-contrast",
    dark=True,
    background="#000000",
    surface="#000000",
    panel="#1a1a1a",
    row="#002b55",
    border="#8a8a8a",
    fg="#ffffff",
    muted="#d6d6d6",
    dim="#c4c4c4",
    primary="#8fccff",
    ok="#5dff9b",
    warn="#ffe14d",
    err="#ff9b9b",
    progress="#66f0ff",
    prod="#e2b8ff",
    calm="#a8c8e8",
)
COLOURS_256 = Palette(
    name="dg-256",
    dark=True,
    background="#080808",
    surface="#121212",
    panel="#1c1c1c",
    row="#303030",
    border="#444444",
    fg="#dadada",
    muted="#a8a8a8",
    dim="#9e9e9e",
    primary="#5fafff",
    ok="#5fd787",
    warn="#ffaf00",
    err="#ff8787",
    progress="#5fd7ff",
    prod="#d7afff",
    calm="#5f87af",
)
COLOURS_16 = Palette(
    name="dg-16",
    dark=True,
    background="#000000",
    surface="#000000",
    panel="#000000",
    row="#000000",
    border="#aaaaaa",
    fg="#ffffff",
    muted="#aaaaaa",
    dim="#aaaaaa",
    primary="#ffffff",
    ok="#55ff55",
    warn="#ffff55",
    err="#ff5555",
    progress="#55ffff",
    prod="#ff55ff",
    calm="#aaaaaa",
)
NO_COLOUR = Palette(
    name="dg-no-colour",
    dark=True,
    background="#000000",
    surface="#000000",
    panel="#000000",
    row="#303030",
    border="#9e9e9e",
    fg="#ffffff",
    muted="#ffffff",
    dim="#dadada",
    primary="#ffffff",
    ok="#ffffff",
    warn="#ffffff",
    err="#ffffff",
    progress="#ffffff",
    prod="#ffffff",
    calm="#9e9e9e",
)

PALETTES: Mapping[str, Palette] = {
    palette.name: palette
    for palette in (NIGHT, DAY, COLOUR_BLIND, CONTRAST, COLOURS_256, COLOURS_16, NO_COLOUR)
}


def fitting(color_system: str | None, *, no_color: bool) -> Palette:
    """The palette for what a terminal can show: Rich's `truecolor`, `256`, `standard`, `windows` or None."""
    if no_color or color_system is None:
        return NO_COLOUR
    return {"truecolor": NIGHT, "256": COLOURS_256}.get(color_system, COLOURS_16)
