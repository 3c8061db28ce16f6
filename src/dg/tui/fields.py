"""What the forms of acts have in common: what has to be typed, and how what was typed is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dg.tui.actions import Field, Values
from dg.tui.views import PRODUCTION

if TYPE_CHECKING:
    from dg.core.types import Environment

REASON = Field("reason", "why, for the record", required=True)


def typed_in(environment: str) -> str:
    """What has to be typed to change something there; empty where `y` is enough."""
    return environment if environment == PRODUCTION else ""


def option(values: Values, name: str, flag: str = "") -> tuple[str, ...]:
    """A field as an option of the command line, where something was typed into it."""
    return (flag or f"--{name}", values[name]) if values.get(name) else ()


def environment_of(text: str) -> Environment | None:
    """The environment that was typed, None for nothing. Raises Invalid."""
    return environment_from(text) if text else None


def environment_from(text: str) -> Environment:
    """The environment that has to be typed. Raises Invalid."""
    from dg.core.errors import Invalid
    from dg.core.types import Environment

    try:
        return Environment(text)
    except ValueError:
        raise Invalid("environment must be development, staging or production", field="environment") from None
