"""The tables `[incoming]` and `[webhooks]`: who may report something, and how events are sent out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from dg.settings.section import Section
from dg.settings.units import Duration, FilePath, Tables


class IncomingSource(Section):
    """One host of repositories that reports pushes and releases. Relative paths are below the home."""

    kind: Literal["github", "gitlab", "generic"]
    """How it signs, and in whose words it reports."""
    secret_file: FilePath | None = None
    """A file of mode 0600 that holds the secret; a second line is accepted too, while it is exchanged."""
    secret_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """A variable of the server's environment that holds the secret; steps never see it."""
    services: tuple[str, ...] = ()
    """The only services that it may ask deployments for; all of them when left out."""
    environments: tuple[Literal["development", "staging", "production"], ...] = ()
    """The only environments that it may ask deployments to; all of them when left out."""


def _check_incoming(sources: Mapping[str, IncomingSource]) -> Mapping[str, IncomingSource]:
    for name, source in sources.items():
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,62}", name):
            raise ValueError(f'"{name}" is no name of a source: lower case letters, digits and dashes')
        if (source.secret_file is None) == (source.secret_env is None):
            raise ValueError(f'"{name}" needs exactly one of secret_file and secret_env')
    return sources


class Incoming(Section):
    """Webhooks that come in."""

    sources: Annotated[Tables[IncomingSource], AfterValidator(_check_incoming)] = Field({})
    """Who may report pushes and releases, a table for each: see `docs/incoming-webhooks.md`."""
    tolerance: Duration = 300.0
    """How far the time that a sender signs may be from the server's."""


class Webhooks(Section):
    """Events that are sent to receivers outside."""

    most: int = Field(100, ge=0, le=10_000)
    """Webhooks that there may be."""
    timeout: Duration = 10.0
    """How long one receiver may take for one delivery."""
    attempts: int = Field(12, ge=1, le=100)
    """How often one delivery is tried before it is given up. The pauses double from 5 s to 1 h."""
    disable_after: int = Field(20, ge=1, le=1000)
    """Failures in a row after which a webhook is disabled; with the pauses between them, after some 9 h."""
    backlog: int = Field(10_000, ge=1, le=1_000_000)
    """Deliveries that may wait for one receiver; when there are more, the webhook is disabled."""
    rotation: Duration = 86400.0
    """How long the secret before the newest one still signs."""
