"""Pictures of the emoji that say how something stands: the same on every machine, whatever fonts it has."""

from __future__ import annotations

from collections.abc import Mapping

RED, ORANGE, YELLOW, GREEN, BLUE, GREY = "#dd2e44", "#f4900c", "#f5b800", "#3a9d5d", "#3b88c3", "#8a8d91"


def _dot(colour: str) -> str:
    return f'<circle cx="10" cy="10" r="8" fill="{colour}"/>'


def _tile(colour: str, inner: str) -> str:
    """A sign in white on a square."""
    drawn = f'<g fill="none" stroke="#fff" stroke-width="2.2" stroke-linecap="round">{inner}</g>'
    return f'<rect x="1" y="1" width="18" height="18" rx="4" fill="{colour}"/>{drawn}'


def _line(path: str, colour: str = GREY, width: float = 2) -> str:
    line = f'stroke="{colour}" stroke-width="{width}" stroke-linecap="round" stroke-linejoin="round"'
    return f'<path d="{path}" fill="none" {line}/>'


def _area(path: str, colour: str) -> str:
    return f'<path d="{path}" fill="{colour}"/>'


_BODY = '<rect x="4" y="9" width="12" height="9" rx="2" fill="#f0b429"/>'
_LOCK = _line("M6.5 9V6.5a3.5 3.5 0 0 1 7 0V9") + _BODY
_GLASS = _area("M6 3h8c0 4-3 5-3 7s3 3 3 7H6c0-4 3-5 3-7S6 7 6 3z", "#f3d9a4") + _line(
    "M5 2.5h10M5 17.5h10", "#8a6d3b"
)
_CLOCK = _dot("#e8eaed") + _line("M10 5.5V10l3 2", "#444") + _line("M10 2a8 8 0 1 1-.1 0z", GREY, 1.6)
_AGAIN = _tile(BLUE, '<path d="M14.2 8.5a4.6 4.6 0 1 0 .2 3"/><path d="M14.6 5v3.6H11"/>')
_BACK = _tile(BLUE, '<path d="M7 5.5L4.5 8 7 10.5M5 8h6.5a3 3 0 0 1 0 6H8"/>')
_BELL = _area("M3.5 15c2-2 1.5-4 2-7a4.5 4.5 0 0 1 9 0c.5 3 0 5 2 7z", YELLOW) + _line(
    "M8.5 17.5h3", "#b8860b"
)
_PAUSE = _tile(BLUE, '<path d="M7.5 6v8M12.5 6v8"/>')
_EYE = (
    '<ellipse cx="{x}" cy="10" rx="4" ry="6" fill="#f4f4f4" stroke="#8a8d91"/>'
    '<circle cx="{pupil}" cy="11" r="2.2" fill="#292f33"/>'
)

GLYPHS: Mapping[str, str] = {
    "arrow_down": _tile(BLUE, '<path d="M10 5v10M6 11l4 4 4-4"/>'),
    "arrow_forward": _tile(BLUE, '<path d="M7.5 5.5l6 4.5-6 4.5z" fill="#fff"/>'),
    "arrow_right": _tile(BLUE, '<path d="M5 10h10M11 6l4 4-4 4"/>'),
    "arrow_up": _tile(BLUE, '<path d="M10 15V5M6 9l4-4 4 4"/>'),
    "arrows_counterclockwise": _AGAIN,
    "alarm_clock": _CLOCK,
    "bell": _BELL,
    "black_circle": _dot("#31373d"),
    "black_large_square": _tile("#31373d", ""),
    "blue_circle": _dot(BLUE),
    "clock1": _CLOCK,
    "closed_lock_with_key": _LOCK,
    "double_vertical_bar": _PAUSE,
    "eyes": _EYE.format(x=5.5, pupil=6.5) + _EYE.format(x=14.5, pupil=15.5),
    "fire": _area(
        "M10 1c1 4 5.5 5 5.5 10.5a5.5 5.5 0 0 1-11 0C4.5 9 6 8 6.5 6c1.5 1 2 2 2 3 1-2 1.5-4 1.5-8z", ORANGE
    )
    + _area("M10 18a3 3 0 0 1-3-3c0-2 2-2.5 3-5 1 2.5 3 3 3 5a3 3 0 0 1-3 3z", "#ffd35c"),
    "green_circle": _dot(GREEN),
    "heavy_check_mark": _line("M4 10.5l4 4 8-9", GREEN, 3.2),
    "heavy_minus_sign": _line("M4 10h12", GREY, 3.2),
    "hourglass": _GLASS,
    "hourglass_flowing_sand": _GLASS,
    "information_source": _tile(BLUE, '<path d="M10 9.5v5M10 5.8v.1"/>'),
    "large_blue_circle": _dot(BLUE),
    "large_green_circle": _dot(GREEN),
    "large_orange_circle": _dot(ORANGE),
    "large_red_circle": _dot(RED),
    "large_yellow_circle": _dot(YELLOW),
    "leftwards_arrow_with_hook": _BACK,
    "lock": _LOCK,
    "mag": _line("M12.5 12.5L17 17", "#6d4c33", 3)
    + '<circle cx="8.5" cy="8.5" r="5.5" fill="#cfe7f7" stroke="#5b6a77" stroke-width="1.8"/>',
    "no_bell": _BELL + _line("M3 3l14 14", RED),
    "no_entry": _dot(RED) + '<rect x="4.5" y="8.5" width="11" height="3" rx="1" fill="#fff"/>',
    "no_entry_sign": _line("M10 2.5a7.5 7.5 0 1 1-.1 0zM4.7 4.7l10.6 10.6", RED, 2.4),
    "orange_circle": _dot(ORANGE),
    "package": _area("M2 6l8-4 8 4v8l-8 4-8-4z", "#c1916a") + _line("M2 6l8 4 8-4M10 10v8", "#8f6543", 1.4),
    "pause_button": _PAUSE,
    "raised_hand": _area(
        "M6 18.5c-2-2-3-5-3-7.5l1.5-.5L6 13V4.5a1 1 0 0 1 2 0V9h.5V3a1 1 0 0 1 2 0v6h.5V3.8a1 1 0 0 1 2 0"
        "v5.7h.5V6a1 1 0 0 1 2 0v7c0 3-1 4.5-2.5 5.5z",
        "#ffcc4d",
    ),
    "recycle": _AGAIN,
    "red_circle": _dot(RED),
    "rewind": _BACK,
    "rocket": _area("M10 1c3 2 4.5 5 4.5 8.5L13 14H7L5.5 9.5C5.5 6 7 3 10 1z", "#c9d3dc")
    + '<circle cx="10" cy="7.5" r="2" fill="#3b88c3"/>'
    + _area("M5.5 10L3 14v2.5l4-2.5zM14.5 10l2.5 4v2.5L13 14z", RED)
    + _area("M8 15h4l-2 4z", ORANGE),
    "rotating_light": _area("M4 15v-5a6 6 0 0 1 12 0v5z", RED) + _area("M3 15h14v3H3z", GREY),
    "snowflake": _line("M10 2v16M3 6l14 8M17 6L3 14", "#4fa8dc", 1.8),
    "stopwatch": _CLOCK,
    "unlock": _line("M6.5 9V5.5a3.5 3.5 0 0 1 6.8-1.2") + _BODY,
    "warning": _area("M10 2l9 16H1z", YELLOW) + _line("M10 7.5v4.5M10 15v.1", "#2b2b2b", 2),
    "white_check_mark": _tile(GREEN, '<path d="M5.5 10.5l3 3 6-7"/>'),
    "white_circle": _dot("#cfd3d7"),
    "white_large_square": _tile("#cfd3d7", ""),
    "ballot_box_with_check": _tile(BLUE, '<path d="M5 10.5l3.4 3.5L15 6.5"/>'),
    "bar_chart": _area("M2 11h4v7H2zM8 6h4v12H8zM14 2h4v16h-4z", BLUE),
    "bulb": _area("M10 1.5a6 6 0 0 0-3.4 11l.4 2h6l.4-2A6 6 0 0 0 10 1.5z", YELLOW)
    + _line("M7.5 17h5M8.5 19h3"),
    "white_small_square": _line("M6 6h8v8H6z", GREY, 1.2),
    "x": _line("M4 4l12 12M16 4L4 16", RED, 3.6),
    "yellow_circle": _dot(YELLOW),
}
"""SVG inside a square of 20, by the emoji's name."""
