"""Sessions of people, and how one begins: a program asks, a person approves, and the program gets tokens."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from dg.core.access.models import NOWHERE, Grant, Origin, Principal


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Person(_Model):
    """Somebody, whichever of their sessions and tokens they come with: one principal with this id."""

    id: str
    name: str
    created_at: int


class LoginState(StrEnum):
    """What became of a login."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    USED = "used"


class Login(_Model):
    """A program that asks to be let in. What it says of itself (`name`, `host`) proves nothing; `address` is
    where it asked from. `person` is the id of whom it was approved for.
    """

    id: str
    name: str
    host: str
    address: str
    state: LoginState
    asked_at: int
    expires_at: int
    decided_by: str | None = None
    decided_at: int | None = None
    person: str | None = None


class LoginApproval(_Model):
    """As whom a login is let in, until when at the longest, and by whom: `approved_in` is their session."""

    person: str
    grants: tuple[Grant, ...]
    approved_in: str | None
    ends_at: int


class WantedGrant(_Model):
    """What somebody who is let in is to have; checked by the service."""

    role: str
    environment: str | None = None
    service: str | None = None


class ApproveLogin(_Model):
    """As whom a login is to be let in: `person` is a name. Without both, as oneself."""

    person: str | None = None
    grants: tuple[WantedGrant, ...] = ()


class Device(_Model):
    """What a program that asked keeps (`device_code`) and shows (`user_code`); both last `expires_in` s."""

    device_code: str
    user_code: str
    hint: str
    interval: int
    expires_in: int


class RevokedWhy(StrEnum):
    """What ended a session before its time."""

    REVOKED = "revoked"
    REUSED = "reused"


class Session(_Model):
    """One program that a person is signed in with. Times are microseconds since the epoch.

    It ends at `expires_at`, or at `idle_at` when it is not refreshed before that. `name` is the person's.
    """

    id: str
    person: str
    name: str
    host: str
    address: str
    grants: tuple[Grant, ...]
    approved_by: str
    approved_in: str | None = None
    created_at: int
    refreshed_at: int
    idle_at: int
    expires_at: int
    revoked_at: int | None = None
    revoked_why: RevokedWhy | None = None

    def is_over(self, now: int) -> bool:
        """Whether it opens nothing any more at `now`."""
        return self.revoked_at is not None or now >= min(self.idle_at, self.expires_at)

    def principal(self, origin: Origin = NOWHERE) -> Principal:
        """Who comes with this session, from `origin`."""
        return Principal(
            id=self.person,
            name=self.name,
            method="session",
            grants=self.grants,
            origin=origin,
            session=self.id,
            expires_at=self.expires_at,
        )


class SessionTokens(_Model):
    """What opens the server: for `expires_in` seconds, and then the next ones, once."""

    access_token: str
    refresh_token: str
    expires_in: int
    session: Session
