"""The table `[access]`: tokens, keys and sessions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dg.settings.clerk import Clerk
from dg.settings.section import Section
from dg.settings.units import Duration


class Sessions(Section):
    """Sessions of people who signed in with `dg login`: see `docs/sessions.md`."""

    access_ttl: Duration = 600.0
    """How long one access token lasts; then the client refreshes it by itself."""
    idle: Duration = 3 * 86400.0
    """A session that is not used for so long ends."""
    longest: Duration = 30 * 86400.0
    """How long a session lasts at most, however much it is used."""
    grace: Duration = 30.0
    """How long a refresh whose answer was lost may be repeated; after that the repetition counts as theft."""
    login_ttl: Duration = 600.0
    """How long somebody has to approve a login."""
    poll: Duration = 5.0
    """How often a program that waits for that may ask."""


class Access(Section):
    """Tokens."""

    issuer: str | None = Field(None, min_length=1)
    """The `iss` of the tokens that this server issues; without one, a name that is made with the home."""
    token_ttl: Duration = 90 * 86400.0
    """How long a token lasts when its maker does not say."""
    token_ttl_max: Duration = 365 * 86400.0
    """Longest time that a token may last."""
    key_ttl: Duration = 90 * 86400.0
    """How long an API key lasts when its maker does not say."""
    key_ttl_max: Annotated[Duration, Field(le=365 * 86400)] = 365 * 86400.0
    """Longest time that an API key may last, at most 365 days."""
    key_overlap: Annotated[Duration, Field(le=7 * 86400)] = 86400.0
    """How long the old secret of a rotated API key goes on when nobody says, at most 7 days."""
    verify_cache: Duration = 60.0
    """How long a verified token is not verified again; a withdrawn key counts at once all the same."""
    leeway: Duration = 5.0
    """How far the clocks of issuer and server may differ."""
    owner_ttl: Duration = 30 * 86400.0
    """How long the token of the machine's owner lasts; a new one is made at each start and halfway."""
    owner_overlap: Duration = 3600.0
    """How long the owner's token before it is good after a restart, for commands that wait."""
    clerk: Clerk = Clerk()
    sessions: Sessions = Sessions()
