"""Shared vocabulary: the words that more than one room uses."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import StringConstraints

NAME_PATTERN = r"^[a-z][a-z0-9-]{0,62}$"
COMMIT_PATTERN = r"^[0-9a-f]{40}$"


class Environment(StrEnum):
    """The three tiers of the specification; they always exist."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


ServiceName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
"""A service: lower case letters, digits and dashes, so that it is safe as a file name, a ref and a label."""

Commit = Annotated[str, StringConstraints(pattern=COMMIT_PATTERN)]
"""A full git commit id. Nothing shorter is ever handed to git or stored."""
