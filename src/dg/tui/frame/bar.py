"""The first line of every screen: where one is, how the connection is, who one is, what time it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


BRAND: Pieces = ((" dg ", "primary badge"), (" ", ""))


def top(
    tabs: Sequence[Tab],
    active: str,
    link: Link,
    who: str,
    moment: int,
    monotonic: float,
    width: int,
    trail: Sequence[str] = (),
) -> Pieces:
    """The line, `width` cells wide; `trail` is what was opened from the tab, one out of the other."""
    wide = width >= WIDE
    left: list[Piece] = list(BRAND)
    for tab in tabs:
        left += _named(tab, wide=wide, on=tab.mode == active)
        if tab.mode == active and trail:
            left.append((f"› {' › '.join(trail)}  ", "fg"))
    clock = f"{to_datetime(moment):%H:%M}"
    right: list[Piece] = [*connection(link, monotonic, wide=wide)]
    end: Pieces = [("  ", ""), (f"{clock}Z" if wide else clock, "fg"), (" ", "")]
    named: Pieces = [("  ", ""), (who, "muted")] if who else []
    if measure([*left, *right, *named, *end]) < width:
        right += named
    right += end
    if measure(right) > width:
        return right[: len(connection(link, monotonic, wide=False))]
    return apart(left, right, width)


def _named(tab: Tab, *, wide: bool, on: bool) -> Pieces:
    return (
        (f" {tab.key} ", "primary bold" if on else "dim"),
        (tab.title if wide else tab.short, "fg bold underline" if on else "muted"),
        ("  " if wide else " ", ""),
    )


def places(tabs: Sequence[Tab], width: int) -> Iterator[tuple[str, str, int]]:
    """The mode and the key of each tab, and the cell where it begins while nothing is open."""
    at = measure(BRAND)
    for tab in tabs:
        yield tab.mode, tab.key, at
        at += measure(_named(tab, wide=width >= WIDE, on=False))


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
