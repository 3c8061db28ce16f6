"""How statuses, ages and durations are shown: shared by the command line and the dashboard."""

from __future__ import annotations

STATUS = {
    "pending": ("·", ".", "dim"),
    "building": ("↻", "~", "busy"),
    "deploying": ("↻", "~", "busy"),
    "success": ("✓", "o", "ok"),
    "failed": ("✗", "x", "err"),
    "rolled_back": ("↩", "<", "warn"),
    "running": ("↻", "~", "busy"),
    "skipped": ("·", ".", "dim"),
    "open": ("●", "o", "ok"),
    "passed": ("●", "o", "warn"),
    "closed": ("○", "-", "warn"),
    "needs_approval": ("◇", "?", "warn"),
    "busy": ("↻", "~", "busy"),
    "locked": ("▲", "!", "warn"),
    "frozen": ("▲", "!", "warn"),
    "same": ("●", "o", "ok"),
    "drifted": ("✗", "x", "err"),
    "accepted": ("◇", "-", "warn"),
    "healthy": ("●", "o", "ok"),
    "degraded": ("▲", "!", "warn"),
    "unhealthy": ("✗", "x", "err"),
    "unknown": ("?", "?", "dim"),
    "ok": ("✓", "o", "ok"),
    "warn": ("▲", "!", "warn"),
    "fail": ("✗", "x", "err"),
}
"""Glyph, its ASCII stand-in, and meaning: a status never speaks by colour alone."""


def duration(seconds: float) -> str:
    """How long something took, for people: `0.4 s`, `12 s`, `1m05`, `1h55`, `2d03h`."""
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def age(seconds: float) -> str:
    """How long ago, in one unit: `now`, `12s`, `3m`, `5h`, `2d`."""
    whole = int(seconds)
    if whole < 1:
        return "now"
    size, unit = next(item for item in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")) if whole >= item[0])
    return f"{whole // size}{unit}"


def time_ago(seconds: float) -> str:
    """How long ago, as a phrase: `now`, `12s ago`."""
    said = age(seconds)
    return said if said == "now" else f"{said} ago"
