"""What is asked of Slack by people here, and what comes of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from dg.core.deployments.models import Note

LONGEST = 12_000
"""Characters of a handover; what is more does not fit into one message."""


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
