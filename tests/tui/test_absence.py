"""What is said of the time without a connection."""

from __future__ import annotations

from dataclasses import replace

from dg.tui.absence import Absence
from dg.tui.store import Link, LinkState, Store
from dg.tui.views import EnvironmentView, LaneView

LIVE = Link(LinkState.LIVE, 10.0)
LANE = LaneView(service="web", environment="production", state="open", sentence="web/production is open")


def test_one_hears_once_what_changed_while_one_was_away() -> None:
    store, absence = Store(link=Link()), Absence()
    assert absence.heed(store, 1.0) == ""
    store.set_link(LIVE)
    assert absence.heed(store, 10.0) == ""
    store.set_lanes([LANE])
    store.put_environment(EnvironmentView("production", status="healthy"))
    for attempt in (1, 2):
        store.set_link(Link(LinkState.DISCONNECTED, 20.0, attempt=attempt))
        assert absence.heed(store, 20.0 + attempt) == ""
    store.set_lanes([replace(LANE, state="locked"), replace(LANE, service="api")])
    store.set_link(LIVE)
    assert absence.heed(store, 92.0) == "back after 1m: 2 lanes changed"
    store.set_link(Link(LinkState.SLOW, 95.0))
    assert absence.heed(store, 95.0) == ""
    store.set_link(Link(LinkState.DISCONNECTED, 99.0))
    assert absence.heed(store, 99.0) == ""
    store.set_link(LIVE)
    assert absence.heed(store, 99.2) == "back after 1s: nothing changed"
