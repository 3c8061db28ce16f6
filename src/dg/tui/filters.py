"""Filters that a person keeps under a name, by screen: `@name` stands for the text wherever one is typed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from dg.core.errors import Invalid, NotFound
from dg.core.text import plain

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
LONGEST = 500
"""Characters of a filter, as the server takes them."""
MOST = 100
"""Filters that are kept of one screen."""


class SavedFilters:
    """Read from `path` at once, written when one is saved; None keeps them for the run alone."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._kept = _read(path) if path else {}

    def names(self) -> Mapping[str, tuple[str, ...]]:
        """What is kept, by screen."""
        return {mode: tuple(kept) for mode, kept in self._kept.items()}

    def text(self, mode: str, typed: str) -> str:
        """What is meant by what was typed: of `@name` the text that is kept. Raises NotFound."""
        typed = typed.strip()
        if not typed.startswith("@"):
            return typed
        kept = self._kept.get(mode, {})
        if (found := kept.get(typed[1:])) is None:
            there = ", ".join(f"@{name}" for name in kept) or "none yet: S keeps one"
            raise NotFound(f"no filter is kept as {plain(typed, limit=60)}; there are {there}")
        return found

    def save(self, mode: str, name: str, text: str) -> None:
        """Keep a text; an older one of that name is gone. Raises Invalid, and OSError for the file."""
        if not NAME.fullmatch(name):
            raise Invalid(
                "a name is of small letters, digits, dots and dashes, such as prod-failed", field="name"
            )
        kept = self._kept.setdefault(mode, {})
        if name not in kept and len(kept) >= MOST:
            raise Invalid(f"{MOST} filters are kept already: take the name of one that is not needed")
        kept[name] = text
        self._write()

    def _write(self) -> None:
        from dg.core.home import write_private

        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(self._path, json.dumps(self._kept, indent=1, ensure_ascii=False))


def _read(path: Path) -> dict[str, dict[str, str]]:
    """What the file holds that can be a filter; anybody may have changed it."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {mode: _fit(kept) for mode, kept in found.items() if isinstance(kept, dict)}


def _fit(kept: Mapping[str, object]) -> dict[str, str]:
    return {
        name: text
        for name, text in list(kept.items())[:MOST]
        if NAME.fullmatch(name) and isinstance(text, str) and len(text) <= LONGEST and plain(text) == text
    }
