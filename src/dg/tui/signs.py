"""The dashboard's signs: a status as sign, word and ink, bars, and what stands for each sign in ASCII."""

from __future__ import annotations

from dg.client.words import STATUS

_INK = {"ok": "ok", "warn": "warn", "err": "err", "busy": "progress", "dim": "muted"}

FULL, HALF, REST = "━", "╸", "─"
LEVELS = " ▁▂▃▄▅▆▇█"
"""A cell of a spark, from empty to full."""

BRAILLE = 0x2800
"""The empty one of the 256 characters of two by four dots."""

ASCII = str.maketrans(
    {
        **{glyph: stand_in for glyph, stand_in, _ in STATUS.values()},
        **dict(zip(LEVELS[1:], "_.-=+*#@", strict=True)),
        **{chr(BRAILLE + dots): "*" for dots in range(1, 256)},
        **dict(zip("━╸─┄╌│┊┤▌▾…→←↑↓×–›⏎↵", "#---.|:|>v~><^vx->^^", strict=True)),
        **dict.fromkeys("╭╮╰╯┌┐└┘", "+"),
        # A heavy frame is production's: it must not read as any other one.
        **dict.fromkeys("┃┏┓┗┛", "#"),
        **dict.fromkeys("▎▊▏▕▐", "|"),
        **dict.fromkeys("▔▁", "-"),
        "·": ".",
        "▪": "*",
    }
)
"""For `str.translate`, where only ASCII is wanted: every sign that the dashboard draws, cell for cell."""


def ink(word: str) -> str:
    """The ink of a status."""
    return _INK[STATUS[word][2]] if word in STATUS else "dim"


def sign(word: str) -> str:
    """The sign of a status, `?` for one that is not known."""
    return STATUS[word][0] if word in STATUS else "?"


def said(word: str) -> str:
    """A status as sign and word: `↩ rolled back`."""
    return f"{sign(word)} {word.replace('_', ' ')}"


def bar(width: int, share: float, words: str = "progress") -> list[tuple[str, str]]:
    """A bar of `width` cells, filled to `share` (0 to 1): its fill and its rest differ without colour too."""
    cells = min(max(share, 0.0), 1.0) * width
    full = int(cells)
    half = HALF if cells - full >= 0.5 else ""
    return [(FULL * full + half, words), (REST * (width - full - len(half)), "dim")]
