"""What is asked of Slack by people here, and what comes of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

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
