"""What opens something once or for a while: triggers of modals, response URLs, tickets of sockets."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from dg.core.clock import Clock
from dg.slacksim.bounded import Bounded
from dg.slacksim.errors import SlackError

TRIGGER_SECONDS = 3.0
RESPONSE_SECONDS = 1800.0
RESPONSE_USES = 5
TICKET_SECONDS = 30.0
MOST = 2_000


@dataclass
class Trigger:
    user: str
    at: float
    used: bool = False


@dataclass
class Hook:
    """Where a response URL leads."""

    channel: str
    user: str
    at: float
    message: str | None = None
    """The ts of the message that was acted on."""

    uses: int = 0


class Passes:
    """All that were given out and may still be known."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._triggers: Bounded[str, Trigger] = Bounded(MOST)
        self._hooks: Bounded[str, Hook] = Bounded(MOST)
        self._tickets: Bounded[str, float] = Bounded(MOST)

    def trigger(self, user: str) -> str:
        name = f"{self._clock.micros()}.{secrets.randbelow(10**10)}.{secrets.token_hex(16)}"
        self._triggers[name] = Trigger(user, self._clock.monotonic())
        return name

    def exchange(self, name: str) -> str:
        """Who a trigger is for. Raises SlackError when it is unknown, was used or is older than 3 seconds."""
        trigger = self._triggers.get(name)
        if trigger is None:
            raise SlackError("invalid_trigger_id")
        if trigger.used:
            raise SlackError("exchanged_trigger_id")
        if self._clock.monotonic() - trigger.at > TRIGGER_SECONDS:
            raise SlackError("expired_trigger_id")
        trigger.used = True
        return trigger.user

    def hook(self, channel: str, user: str, message: str | None = None) -> str:
        name = secrets.token_hex(16)
        self._hooks[name] = Hook(channel, user, self._clock.monotonic(), message)
        return name

    def respond(self, name: str) -> Hook:
        """Use a response URL. Raises SlackError when it is unknown, too old or used up."""
        hook = self._hooks.get(name)
        if hook is None:
            raise SlackError("invalid_url")
        if self._clock.monotonic() - hook.at > RESPONSE_SECONDS:
            raise SlackError("expired_url")
        if hook.uses >= RESPONSE_USES:
            raise SlackError("used_url")
        hook.uses += 1
        return hook

    def ticket(self) -> str:
        name = secrets.token_hex(16)
        self._tickets[name] = self._clock.monotonic()
        return name

    def redeem(self, name: str) -> bool:
        """Whether a ticket is good; it is so once, for half a minute."""
        at = self._tickets.pop(name, None)
        return at is not None and self._clock.monotonic() - at <= TICKET_SECONDS
