"""The one sanitiser of text that came from outside (git, steps, clients); surfaces show only its output."""

from __future__ import annotations

import re

_ELLIPSIS = "…"
_REPLACEMENT = "�"

_C0_BUT_BREAKS = "\x00-\x08\x0b-\x1f"
_OTHER = (
    "\x7f-\x9f"  # DEL and C1: U+009B alone is a CSI to many terminals
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidi marks, embeddings, overrides, isolates
    "\u2028\u2029"  # line breaks to some readers and not to others
    "\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # invisible: can hide text in text
    "\ud800-\udfff"  # lone surrogates cannot be encoded
)
_UNSAFE_LINE = re.compile(f"[\x00-\x1f{_OTHER}]")
_UNSAFE_BLOCK = re.compile(f"[{_C0_BUT_BREAKS}{_OTHER}]")


def counted(number: int, noun: str) -> str:
    """How many there are: `1 lane`, `12,000 lines`. The plural of `noun` is made with an s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def plain(text: str | bytes, *, multiline: bool = False, limit: int | None = None) -> str:
    """Return `text` with everything that could act on a terminal or hide in a line made visible and harmless.

    Bytes are read as UTF-8, bad ones as U+FFFD. Control characters become their picture (ESC is `␛`), the
    other unsafe ones U+FFFD. `multiline` keeps line feeds and tabs and reads CRLF as a line feed. `limit` is
    the most characters returned, a closing `…` included.
    """
    if limit is not None:
        text = _head(text, limit)
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if multiline:
        text = text.replace("\r\n", "\n")
    unsafe = _UNSAFE_BLOCK if multiline else _UNSAFE_LINE
    if not (text.isascii() and text.isprintable()) and unsafe.search(text):
        text = unsafe.sub(_visible, text)
    if limit is not None and len(text) > limit:
        text = text[: max(limit - 1, 0)] + _ELLIPSIS[:limit]
    return text


def _head(text: str | bytes, limit: int) -> str | bytes:
    """Enough of `text` to know the first `limit` characters and whether more follow: at most 4 bytes make a
    character, and CRLF makes one of two."""
    if isinstance(text, bytes):
        return text[: 8 * limit + 8]
    return text[: 2 * limit + 2]


def _visible(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else _REPLACEMENT
