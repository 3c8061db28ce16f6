"""Who somebody is in Slack: an account there that a person said is theirs, and the code for saying so."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

CODE_LASTS = 600.0
"""Seconds."""

_LETTERS = "BCDFGHJKLMNPQRSTVWXZ23456789"
_LENGTH = 16
_GROUP = re.compile(r"slack-group:[A-Z0-9]{1,32}")


class Account(NamedTuple):
    """Somebody in Slack: the ids of their workspace and of them in it. Names there are nobody's for sure."""

    team: str
    user: str


class SlackLink(BaseModel):
    """An account in Slack and whose it is here. `name` is what it was called there, and proves nothing."""

    model_config = ConfigDict(frozen=True)

    id: str
    team: str
    user: str
    name: str
    person: str
    linked_at: int
    groups: tuple[str, ...] = Field(default=(), exclude=True, repr=False)
    """As bindings call them: `slack-group:S0123`."""

    @property
    def account(self) -> Account:
        return Account(self.team, self.user)


class SlackCode(BaseModel):
    """A code that an account in Slack was given. Whoever says it here says that the account is theirs."""

    model_config = ConfigDict(frozen=True)

    team: str
    user: str
    name: str
    expires_at: int


def new_code() -> str:
    """A code that nobody guesses: some 77 bits, as `BCDF-GHJK-LMNP-QRST`."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
    return "-".join(letters[at : at + 4] for at in range(0, _LENGTH, 4))


def digest(code: str) -> str:
    """What is kept of a code, however it was typed."""
    letters = re.sub(r"[^A-Z0-9]", "", code.upper())
    return hashlib.sha256(f"dg slack {letters}".encode()).hexdigest()


def groups(ids: tuple[str, ...]) -> tuple[str, ...]:
    """The user groups with these ids as bindings call them."""
    return tuple(sorted(name for each in ids if _GROUP.fullmatch(name := f"slack-group:{each}")))
