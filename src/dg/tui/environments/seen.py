"""What all changes of an environment have in common: they are made of the version that was seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dg.tui.actions import Field, Values
from dg.tui.fields import typed_in
from dg.tui.ink import Pieces
from dg.tui.store import Store
from dg.tui.views import PRODUCTION

if TYPE_CHECKING:
    from dg.core.environments.models import EnvironmentState

REASON = Field("reason", "why, for the history")


def typed(state: EnvironmentState) -> str:
    """What has to be typed to change it."""
    return typed_in(state.name.value)


def reason(values: Values) -> str | None:
    """Why, where that was said."""
    return values.get("reason") or None


def stamp(state: EnvironmentState) -> Callable[[Store, Values], object]:
    """The newest change of it that has been heard of: when that moves, somebody else was faster."""
    return lambda store, _: _last_change(store, state.name.value)


def _last_change(store: Store, environment: str) -> int:
    changes = (fact for fact in store.activity if fact.type == "environment.updated")
    return max((fact.seq for fact in changes if fact.environment == environment), default=0)


def place(state: EnvironmentState) -> Pieces:
    """Which environment, and which version of it."""
    name = state.name.value
    return [
        (name, "prod bold" if name == PRODUCTION else "fg bold"),
        (f"  version {state.version} is what you saw; a newer one is not overwritten", "muted"),
    ]
