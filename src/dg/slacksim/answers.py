"""What became of something that was sent to the app."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["slash_commands", "interactive", "events_api"]
ACK_SECONDS = 3.0
"""How long Slack waits for an acknowledgement."""


@dataclass(frozen=True)
class Answer:
    """One attempt. `error` is empty when the app acknowledged in time."""

    error: str = ""
    body: Any = None
    """What came with the acknowledgement: JSON, text or None."""

    status: int | None = None
    """Of HTTP."""

    seconds: float = 0.0
    retry: bool = True
    """Whether the app lets an event come again."""

    @property
    def ok(self) -> bool:
        return not self.error


@dataclass
class Delivery:
    """Something sent to the app, with every attempt of it."""

    kind: Kind
    payload: dict[str, Any]
    answers: list[Answer] = field(default_factory=list)

    @property
    def answer(self) -> Answer:
        """The newest attempt's."""
        return self.answers[-1]

    @property
    def ok(self) -> bool:
        return bool(self.answers) and self.answer.ok
