"""Tells whoever comes back from a lost connection what changed until then: the dashboard's app asks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dg.client.words import age
from dg.core.text import counted
from dg.tui.store import Store

Key = tuple[str, ...]
"""What it is, and how it is known."""


@dataclass(frozen=True)
class Known:
    """What was known when the connection was lost, and when that was in monotonic seconds."""

    since: float
    states: Mapping[Key, str]


class Absence:
    """Watches one store's connection."""

    def __init__(self) -> None:
        self._was_live = False
        self._known: Known | None = None

    def heed(self, store: Store, now: float) -> str:
        """Call it for each change of the connection; what to say when it is back, else nothing."""
        if not store.link.live:
            if self._was_live and self._known is None:
                self._known = Known(store.link.since, _states(store))
            return ""
        self._was_live = True
        known, self._known = self._known, None
        if known is None:
            return ""
        lasted = age(max(1.0, now - known.since))
        return f"back after {lasted}: {_changed(known.states, _states(store))}"


def _states(store: Store) -> Mapping[Key, str]:
    return {
        **{("deployment", id_): each.state for id_, each in store.deployments.items()},
        **{("lane", *key): each.state for key, each in store.lanes.items()},
        **{("environment", name): each.status for name, each in store.environments.items()},
    }


def _changed(before: Mapping[Key, str], after: Mapping[Key, str]) -> str:
    """`2 deployments changed, 1 lane changed`, as far as it is the state that did."""
    found = [key[0] for key, state in after.items() if before.get(key) != state]
    said = [
        f"{counted(found.count(what), what)} changed"
        for what in ("deployment", "lane", "environment")
        if what in found
    ]
    return ", ".join(said) or "nothing changed"
