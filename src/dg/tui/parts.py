"""What a screen reads in parts, any of which may be refused: then it says so, and the others stand."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeVar

from dg.core.errors import Problem, Unavailable
from dg.tui.errors import sentence

T = TypeVar("T")


@dataclass
class Parts:
    """`wrong` says of a part, by its name, why it is not known."""

    wrong: dict[str, str] = field(default_factory=dict)

    async def take(self, part: str, ask: Awaitable[T], before: T) -> T:
        """The answer, or what was known `before`. Raises Unavailable: then nothing is known of any part."""
        try:
            found = await ask
        except Unavailable:
            raise
        except Problem as problem:
            self.wrong[part] = sentence(problem)
            return before
        self.wrong.pop(part, None)
        return found
