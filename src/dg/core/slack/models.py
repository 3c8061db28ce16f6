"""What is asked of Slack by people here, and what comes of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from dg.core.deployments.models import Note
from dg.core.types import Environment, ServiceName

LONGEST = 12_000
"""Characters of a handover; what is more does not fit into one message."""


Severity = Literal["degraded", "unhealthy"]
"""From how bad on a service is told of."""


class PostHandover(BaseModel):
    """What is to be posted, as Markdown; without a `channel`, in that of the first route."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST)]
    channel: str | None = None


class PostedHandover(BaseModel):
    """A handover that is on its way to a channel."""

    model_config = ConfigDict(frozen=True)

    id: str
    channel: str
    at: int


class MuteChannel(BaseModel):
    """Tell a channel only what cannot wait until `until` (microseconds)."""

    model_config = ConfigDict(frozen=True)

    channel: str = Field(pattern=r"^[CG][A-Z0-9]{1,20}$")
    until: int
    reason: Note | None = None


class SlackMute(BaseModel):
    """A channel that is muted, or was, from `since` until `until` (microseconds). `by` is a principal."""

    model_config = ConfigDict(frozen=True)

    id: str
    channel: str
    since: int
    until: int
    by: str
    reason: str | None = None


class SubscribeChannel(BaseModel):
    """Tell a channel of these lanes, too; without an environment or a service of all of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channel: str = Field(pattern=r"^[CG][A-Z0-9]{1,20}$")
    environment: Environment | None = None
    service: ServiceName | None = None
    severity: Severity = "degraded"


class SlackSubscription(BaseModel):
    """What a channel asked to be told, `since` when and by which principal; over since `ended_at`."""

    model_config = ConfigDict(frozen=True)

    id: str
    channel: str
    environment: Environment | None = None
    service: str | None = None
    severity: Severity = "degraded"
    since: int
    by: str
    ended_at: int | None = None

    def asks(self, channel: str, environment: str | None, service: str | None) -> bool:
        """Whether it is that of the channel for exactly these lanes."""
        return (self.channel, self.environment, self.service) == (channel, environment, service)

    def reaches(self, environment: str | None, service: str | None) -> bool:
        """Whether it is about some of these lanes; None is all of a kind."""
        where = ((self.environment, environment), (self.service, service))
        return all(None in pair or pair[0] == pair[1] for pair in where)

    def tells_of(self, severity: str) -> bool:
        """Whether a service that is so bad is told of."""
        return severity in (self.severity, "unhealthy")
