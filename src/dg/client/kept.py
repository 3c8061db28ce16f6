"""A session as a file of the client's keeps it: only who reads or writes one needs its models."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

from dg.core.access.sessions import Session, SessionTokens
from dg.core.clock import SECOND

_EARLY = 0.1
"""The last part of a token's life, in which the next one is fetched already."""


class Kept(BaseModel):
    """A session as its file has it; `renew_at` (microseconds) is when to ask for the next tokens."""

    model_config = ConfigDict(frozen=True)

    url: str
    access_token: str
    refresh_token: str
    renew_at: int
    session: Session

    @classmethod
    def of(cls, url: str, tokens: SessionTokens, now: int) -> Kept:
        """What the server at `url` gave at `now` (microseconds)."""
        return cls(
            url=url,
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
            renew_at=now + int(tokens.expires_in * (1 - _EARLY) * SECOND),
            session=tokens.session,
        )

    @classmethod
    def parse(cls, text: str) -> Kept | None:
        """What such a file says; None where it says anything else."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return None
