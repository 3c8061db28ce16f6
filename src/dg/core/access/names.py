"""What people may be called, and when two names are one person's."""

from __future__ import annotations

import unicodedata

from dg.core.errors import Invalid
from dg.core.text import plain

_WITHOUT_SHAPE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
"""Letters that show nothing, format characters apart: joiners, fillers, blanks and variation selectors."""


def checked_name(name: str, field: str) -> str:
    """`name` without space around it. Raises Invalid, which names `field`, for what people cannot read."""
    if not 0 < len(name.strip()) <= 100 or plain(name) != name or not one_name(name):
        raise Invalid(f"{field}: 1 to 100 visible characters, so that people know whose it is", field=field)
    return name.strip()


def one_name(name: str) -> str:
    """What is the same for every token of one person: nobody becomes two by asking for another one.

    Names that read alike are one: other forms of the same letters, and what is between them without a shape.
    """
    letters = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join("".join(filter(_has_shape, letters)).split())


def _has_shape(letter: str) -> bool:
    return unicodedata.category(letter) != "Cf" and letter not in _WITHOUT_SHAPE
