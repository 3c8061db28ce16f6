"""What happens to what people and machines may do: credentials, roles, logins and sessions, denied tries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dg.core.events.fact import Fact, RightsFact


@dataclass(frozen=True, kw_only=True)
class TokenCreated(Fact):
    """A token was issued. Its name stays out of the ledger: it may be a person's."""

    about: ClassVar[str] = "token"

    token: str
    role: str
    expires_at: int
    environment: str | None = None
    service: str | None = None
    person: str | None = None


@dataclass(frozen=True, kw_only=True)
class TokenRevoked(RightsFact):
    """A token no longer opens anything."""

    about: ClassVar[str] = "token"

    token: str


@dataclass(frozen=True, kw_only=True)
class KeyFact(RightsFact):
    """What every fact about an API key carries; where all its scopes are in one place, that place."""

    about: ClassVar[str] = "key"

    key: str
    environment: str | None = None
    service: str | None = None


@dataclass(frozen=True, kw_only=True)
class KeyCreated(KeyFact):
    """An API key was made. `begins` is the public part of its secret; its name may be a person's."""

    begins: str
    scopes: list[str]
    addresses: list[str]
    expires_at: int


@dataclass(frozen=True, kw_only=True)
class KeyRotated(KeyFact):
    """An API key got a new secret; those before it open nothing after `old_until`."""

    begins: str
    expires_at: int
    old_until: int


@dataclass(frozen=True, kw_only=True)
class KeyMisused(KeyFact):
    """A key that is good was shown from where it may not be used; `count` tries within one minute.

    Everybody should hear of it, since it may be stolen: `alert`.
    """

    count: int
    alert: bool = True


@dataclass(frozen=True, kw_only=True)
class KeyRevoked(KeyFact):
    """An API key opens nothing any more."""


@dataclass(frozen=True, kw_only=True)
class RoleCreated(RightsFact):
    """A role of this home's own was made. Its description stays out of the ledger."""

    about: ClassVar[str] = "role"

    role: str
    actions: list[str]


@dataclass(frozen=True, kw_only=True)
class RoleUpdated(RightsFact):
    """A role may do other things now, or is described in other words."""

    about: ClassVar[str] = "role"

    role: str
    added: list[str]
    removed: list[str]


@dataclass(frozen=True, kw_only=True)
class RoleDeleted(RightsFact):
    """A role that nobody held any more was removed."""

    about: ClassVar[str] = "role"

    role: str


@dataclass(frozen=True, kw_only=True)
class BindingFact(RightsFact):
    """What every fact about a binding carries: a role, to whom, and where; None is everywhere."""

    about: ClassVar[str] = "binding"

    binding: str
    subject: str
    role: str
    environment: str | None = None
    service: str | None = None


@dataclass(frozen=True, kw_only=True)
class BindingCreated(BindingFact):
    """A role was given, until `expires_at` (microseconds) or until it is taken back."""

    expires_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class BindingRevoked(BindingFact):
    """A role was taken back."""


@dataclass(frozen=True, kw_only=True)
class PersonAdded(Fact):
    """Somebody is known from now on who may have sessions and tokens. The name stays out of the ledger."""

    about: ClassVar[str] = "person"

    person: str


@dataclass(frozen=True, kw_only=True)
class LoginApproved(Fact):
    """A program that asked is let in as `person`, with these grants such as `operator on shop/staging`.

    `approved_in` is the session of whoever approved it.
    """

    about: ClassVar[str] = "login"

    login: str
    person: str
    grants: list[str]
    approved_in: str | None = None


@dataclass(frozen=True, kw_only=True)
class LoginDenied(Fact):
    """A person turned a program away that asked to be let in."""

    about: ClassVar[str] = "login"

    login: str


@dataclass(frozen=True, kw_only=True)
class SessionStarted(Fact):
    """A program that was let in by `login` got its first tokens."""

    about: ClassVar[str] = "session"

    session: str
    person: str
    login: str
    expires_at: int


@dataclass(frozen=True, kw_only=True)
class SessionRevoked(Fact):
    """A session no longer opens anything: `why` is revoked, or reused for one of a family that was."""

    about: ClassVar[str] = "session"

    session: str
    person: str
    why: str


@dataclass(frozen=True, kw_only=True)
class SessionReuseDetected(Fact):
    """A refresh token, or the code that began a session, was shown again after it had been used up: somebody
    has a copy. The session is revoked with all that were approved in it. Everybody should hear: `alert`.
    """

    about: ClassVar[str] = "session"

    session: str
    person: str
    alert: bool = True


@dataclass(frozen=True, kw_only=True)
class SlackFact(Fact):
    """What every fact about somebody in Slack carries. Who that is there stays out of the ledger."""

    about: ClassVar[str] = "link"

    link: str
    person: str


@dataclass(frozen=True, kw_only=True)
class SlackLinked(SlackFact):
    """Somebody said which account in Slack is theirs: what it asks for is asked by `person`."""


@dataclass(frozen=True, kw_only=True)
class SlackUnlinked(SlackFact):
    """An account in Slack is nobody's any more."""


@dataclass(frozen=True, kw_only=True)
class AccessDenied(Fact):
    """A known caller tried what its role does not allow; `count` tries within one minute."""

    action: str
    count: int
    service: str | None = None
    environment: str | None = None


@dataclass(frozen=True, kw_only=True)
class AuthenticationFailed(Fact):
    """Nobody in particular presented bad credentials; `count` tries within one minute."""

    count: int
