"""Strings that attack a terminal, or what reads markup, wherever they are shown."""

from __future__ import annotations

ESCAPES = (
    "\x1b]0;owned\x07",
    "\x1b]52;c;b3duZWQ=\x07",
    "\x1b[31mred\x1b[0m",
    "\x9b31mred",
    "\x1bP1$r\x1b\\",
    "a\rb\nc\x08d\x7fe\x00",
    "\u202egnp.exe\u2066",
    "\ufeffhidden\u2060\u200f",
    "\ud800",
)
MARKUP = ("[/", "[", "[@click=app.quit]see ticket[/]", "[red]x", "$error", "[bold]b[/bold]", "\\[x]")
WIDE = ("日本語のテキスト", "👩‍👩‍👧‍👦 family", "e\u0301" * 8, "x" * 9000)

STRINGS = (*ESCAPES, *MARKUP, *WIDE)

FORBIDDEN = frozenset(
    [chr(code) for code in range(0x20)]
    + [chr(code) for code in range(0x7F, 0xA0)]
    + list("\u202e\u2066\u2060\u200f\ufeff\ud800")
)
"""Characters that must not stand in any cell of the screen."""
