"""What a change is in the dashboard, and the one place that sends it.

An `Act` says what it would do, what a yes takes and the command that does the same; the screens' folders make
them. `Hands` refuses what may not be, and sends.
"""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dg.tui.ink import Pieces
from dg.tui.store import Store

if TYPE_CHECKING:
    from dg.client.app import Client

Values = Mapping[str, str]
"""What was typed, by field."""


@dataclass(frozen=True)
class Field:
    """One line to fill in."""

    name: str
    hint: str
    value: str = ""
    required: bool = False
    secret: bool = False
    """Typed unseen, and gone from the form when it was sent."""


@dataclass(frozen=True)
class Look:
    """What an act would do, as it stands now. `typed` must be typed to confirm it; without it, `y` is enough.

    `ready` is False for what would be refused anyway.
    """

    rows: list[Pieces]
    typed: str = ""
    ready: bool = True


@dataclass(frozen=True)
class Shown:
    """What there is to read in an answer. A `secret` is in this one alone."""

    title: str
    rows: list[Pieces]
    secret: str = ""


@dataclass(frozen=True)
class Act:
    """One change that somebody may ask for. `right` is the action it takes, in `environment`, for `service`;
    empty for what is one's own.

    `look` asks the server what it would do, `send` does it, with an Idempotency-Key; `stamp` is what must not
    move between the two.
    """

    title: str
    right: str
    environment: str
    service: str
    look: Callable[[Client, Values], Awaitable[Look]]
    send: Callable[[Client, Values, str], Awaitable[Any]]
    command: Callable[[Values], str]
    done: str
    fields: tuple[Field, ...] = ()
    stamp: Callable[[Store, Values], object] = field(default=lambda store, values: None)
    later: bool = False
    """Whether the look hangs on what is typed, and so comes after it."""
    first: str = ""
    """The field that the cursor starts in; without one, the first that is empty."""
    show: Callable[[Any], Shown] | None = None
    """What of the answer is shown; without it, `done` alone says that it was sent."""

    def place(self, values: Values) -> tuple[str, str]:
        """Where it would happen: the environment and the service, which may be among what is typed."""
        return values.get("environment", self.environment), values.get("service", self.service)


class Hands:
    """The only way from the dashboard to a change. `read_only` leaves nothing of it.

    `withheld` says why nothing can be changed from where one is, empty where something can.
    """

    def __init__(self, store: Store, *, read_only: bool, withheld: Callable[[], str] = str) -> None:
        self._store, self._read_only, self._withheld = store, read_only, withheld

    def may(self, right: str, environment: str | None = None, service: str | None = None) -> bool:
        """Whether the key for it is shown at all."""
        return not self._read_only and self._store.rights.may(right, environment, service)

    def may_anywhere(self, right: str) -> bool:
        """Whether there is some place where it is allowed."""
        return not self._read_only and self._store.rights.may_anywhere(right)

    def allows(self, act: Act) -> bool:
        """Whether the key for it is shown at all, with its fields as they are when it opens."""
        environment, service = act.place({each.name: each.value for each in act.fields})
        return not self._read_only and (not act.right or self._given(act.right, environment, service))

    def closed(self) -> str:
        """Why nothing at all can be sent now, empty when something can."""
        if self._read_only:
            return "not sent: this dashboard only looks"
        if reason := self._withheld():
            return f"not sent: {reason}"
        return "" if self._store.link.live else "not sent: no connection"

    def objection(self, act: Act, values: Values) -> str:
        """Why it cannot be sent now, empty when it can."""
        if closed := self.closed():
            return closed
        environment, service = act.place(values)
        if act.right and not self._given(act.right, environment, service):
            place = "/".join(filter(None, (service, environment)))
            return f"not sent: that takes {act.right}{f' on {place}' if place else ''}"
        return ""

    def _given(self, right: str, environment: str, service: str) -> bool:
        """What has no place of its own is judged by the server, where one has the right anywhere."""
        rights = self._store.rights
        placed = bool(environment or service)
        return rights.may(right, environment, service) if placed else rights.may_anywhere(right)

    async def send(self, client: Client, act: Act, values: Values, key: str) -> Any:
        """Do it. Raises ValueError with the objection when there is one, and what the client raises."""
        if objection := self.objection(act, values):
            raise ValueError(objection)
        return await act.send(client, values, key)


def line(*words: str) -> str:
    """A command as a shell takes it."""
    return shlex.join(("dg", *words))
