"""The first line of every screen: where one is, how the connection is, who one is, what time it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dg.client.words import duration
from dg.core.clock import to_datetime
from dg.tui.ink import Piece, Pieces, apart, measure
from dg.tui.store import Link, LinkState

WIDE = 130
"""Cells from which names are written out."""


@dataclass(frozen=True)
class Tab:
    """One screen with a number of its own."""

    key: str
    mode: str
    title: str
    short: str


def top(
    tabs: Sequence[Tab], active: str, link: Link, who: str, moment: int, monotonic: float, width: int
) -> Pieces:
    """The line, `width` cells wide."""
    wide = width >= WIDE
    left: list[Piece] = [(" dg ", "primary badge"), (" ", "")]
    for tab in tabs:
        on = tab.mode == active
        left += [
            (f" {tab.key} ", "primary bold" if on else "dim"),
            (tab.title if wide else tab.short, "fg bold underline" if on else "muted"),
            ("  " if wide else " ", ""),
        ]
    clock = f"{to_datetime(moment):%H:%M}"
    right: list[Piece] = [*connection(link, monotonic, wide=wide)]
    if wide and who:
        right += [("  ", ""), (who, "muted")]
    right += [("  ", ""), (f"{clock}Z" if wide else clock, "fg"), (" ", "")]
    if measure(right) > width:
        return right[: len(connection(link, monotonic, wide=False))]
    return apart(left, right, width)


def connection(link: Link, monotonic: float, *, wide: bool) -> Pieces:
    """How the connection is, in sign, word and ink."""
    spent = (
        duration(max(0.0, monotonic - link.since))
        if monotonic - link.since >= 10
        else _short(link, monotonic)
    )
    match link.state:
        case LinkState.LIVE:
            return [("● live", "ok bold")]
        case LinkState.SLOW:
            return [(f"◐ slow {spent}", "warn bold")]
        case LinkState.LIMITED:
            return [(f"◐ limited {max(0, round(link.again_at - monotonic))}s", "warn bold")]
        case LinkState.POLLING:
            return [("◐ polling", "warn bold")]
        case LinkState.CONNECTING:
            return [("○ connecting", "muted")]
        case LinkState.SIGNED_OUT:
            return [(" ▲ sign in again: dg login " if wide else " ▲ sign in ", "warn badge")]
    again = max(0, round(link.again_at - monotonic))
    if not wide:
        return [(f" ✗ OFFLINE {spent} ", "warn badge")]
    return [(f" ✗ disconnected · {spent} · try {link.attempt + 1} in {again}s ", "warn badge")]


def _short(link: Link, monotonic: float) -> str:
    return f"{max(0, int(monotonic - link.since))}s"
