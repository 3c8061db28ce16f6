"""Keys that change something, as a table: what each leads to, by what is under the cursor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dg.tui.actions import Act

ANYWHERE = ""
"""In place of a kind of row: wherever the cursor is."""


@dataclass(frozen=True)
class Offer:
    """What a key leads to: `make` gets what the screen knows, and the row under the cursor.

    `fits` says of a row whether it can be done to it; without one no row is needed, and it may be None.
    """

    make: Callable[[Any, Any], Act]
    fits: Callable[[Any, Any], bool] | None = None
    at_once: bool = False
    """Done without a question, since nothing of it is kept; its answer is shown."""

    def applies(self, known: Any, row: Any) -> bool:
        return self.fits is None or (row is not None and self.fits(known, row))


Offers = Mapping[str, Mapping[str, Offer]]
"""By the name of the action, then by the kind of row."""


def any_row(_: Any, __: Any) -> bool:
    return True


def find(offers: Offers, action: str, *kinds: str) -> Offer | None:
    """What a key leads to on the first of these kinds of row that it knows, or anywhere."""
    known = offers.get(action, {})
    return next((known[kind] for kind in (*kinds, ANYWHERE) if kind in known), None)
