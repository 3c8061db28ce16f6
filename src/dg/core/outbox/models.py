"""What the outbox holds: messages that are wanted outside, how sending one ended, and who sends them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from dg.core.database import Tx

State = Literal["waiting", "sent", "failed"]


@dataclass(frozen=True)
class Message:
    """One message as its sender gets it.

    `id` is the same however often it is sent. `memory` is what an earlier sending of this message learnt,
    such as the name that the other side gave it. A message that was changed since has a later `revision`. Of
    those that are due for one destination the one of the lowest `priority` goes first.
    """

    id: str
    kind: str
    key: str
    destination: str
    payload: Mapping[str, Any]
    revision: int
    attempts: int
    created_at: int
    memory: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 5


@dataclass(frozen=True)
class Sent:
    """The other side has it. `answer` is its HTTP status."""

    answer: int | None = None
    memory: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Failed:
    """The other side does not have it, as far as one knows.

    `error` is one sentence without anything secret. `retry_after` (seconds) is what the other side asked for.
    `final` says that trying again is of no use; `at_fault` whose fault it is: the message's alone leaves the
    destination's other messages alone.
    """

    error: str
    answer: int | None = None
    retry_after: float | None = None
    final: bool = False
    at_fault: Literal["destination", "message"] = "destination"
    memory: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Later:
    """It was not tried: there is no room for it now. No failure, and no attempt; again in `seconds`."""

    seconds: float


Outcome = Sent | Failed | Later


@dataclass(frozen=True)
class Policy:
    """How long one kind of message is tried: so many `attempts`, the first pause `first` seconds."""

    attempts: int = 12
    first: float = 5.0
    longest: float = 3600.0


class Sender(Protocol):
    """Sends one kind of message."""

    @property
    def policy(self) -> Policy: ...

    async def send(self, message: Message) -> Outcome:
        """Try once. A raised Problem counts as Failed with its sentence."""
        ...

    def failed(self, tx: Tx, message: Message, failure: Failed, failures: int, now: int) -> None:
        """In the transaction that notes a failure, the destination's `failures`-th in a row: it may hold the
        destination, and say so."""
        ...


class Delivery(BaseModel):
    """A message as it is listed. Times are microseconds since the epoch."""

    model_config = ConfigDict(frozen=True)

    id: str
    state: State
    payload: dict[str, Any]
    attempts: int
    created_at: int
    settled_at: int | None = None
    next_at: int | None = None
    answer: int | None = None
    error: str | None = None
