"""What drift is: a service that runs another version than the one that dg deployed."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from dg.core.deployments.models import Note
from dg.core.types import Environment


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class DriftStatus(StrEnum):
    """How what runs compares with what dg deployed."""

    SAME = "same"
    DRIFTED = "drifted"
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"


class Deployed(_Model):
    """What dg deployed last: a version, at a full commit."""

    deployment: str
    number: int
    version: str
    commit_sha: str


class Lane(_Model):
    """What dg knows of a lane at one moment. Not `known`: a deployment that had touched it failed."""

    deployed: Deployed | None = None
    known: bool = True
    busy: bool = False


class Reading(_Model):
    """What a check said: the version that runs, or a sentence why it said nothing."""

    found: str | None = None
    problem: str | None = None


class Acceptance(_Model):
    """A difference that somebody knows of. Times in microseconds."""

    reason: str
    by: str
    by_name: str | None = None
    at: int
    until: int


class Finding(_Model):
    """What is known of one service in one environment. Times in microseconds.

    `found` was read when `deployed` was what dg had deployed; whether they are the same is so `since` then.
    `problem` says why the last check found out nothing, and leaves the rest as it was. `suspected` are the
    deployment and the version of a difference that was seen once.
    """

    checked_at: int
    drifted: bool = False
    found: str | None = None
    deployed: Deployed | None = None
    since: int | None = None
    problem: str | None = None
    suspected: tuple[str, str] | None = None
    acceptance: Acceptance | None = None

    def accepted(self, now: int) -> bool:
        """Whether somebody knows of the difference and lets it be."""
        return self.acceptance is not None and now < self.acceptance.until


class ServiceDrift(_Model):
    """How one service stands, as it is shown; `sentence` says it in words."""

    service: str
    environment: Environment
    status: DriftStatus
    sentence: str
    found: str | None = None
    deployed: Deployed | None = None
    since: int | None = None
    checked_at: int | None = None
    acceptance: Acceptance | None = None


class DriftList(_Model):
    """The services of an environment that are checked."""

    items: tuple[ServiceDrift, ...]


class AcceptDrift(_Model):
    """Let the difference be that there is now, until that moment (microseconds)."""

    reason: Note
    until: int
