"""Which channels hear of what: those of the routes, and those that subscribed to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dg.core.database import Tx
from dg.core.slack import store
from dg.core.slack.models import SlackSubscription
from dg.core.slack.routing import Place, Routes
from dg.settings.slack import SlackRoute


def of_lane(tx: Tx, routes: Routes, environment: str, service: str) -> list[Place]:
    """Who hears of a lane, each channel once."""
    place = routes.place(environment, service)
    return _together([place] if place else [], _fitting(tx, environment, service))


def of_lanes(tx: Tx, routes: Routes, environment: str | None, service: str | None) -> list[Place]:
    """Who hears of some of these lanes, each channel once; None is all of a kind."""
    return _together(routes.places(environment, service), _fitting(tx, environment, service))


def alarmed(tx: Tx, routes: Routes, environment: str, service: str, severity: str) -> frozenset[str]:
    """The channels that hear that a service is so bad there: `degraded` or `unhealthy`."""
    place = routes.alarmed(environment, service, severity)
    found = _fitting(tx, environment, service)
    subscribed = {each.channel for each in found if each.ended_at is None and each.tells_of(severity)}
    return frozenset(subscribed | ({place.channel} if place else set()))


def everybody(tx: Tx, routes: Routes) -> list[Place]:
    """Every channel that hears of something, or did until lately."""
    return _together(routes.channels, store.subscriptions(tx))


def _fitting(tx: Tx, environment: str | None, service: str | None) -> Sequence[SlackSubscription]:
    return [each for each in store.subscriptions(tx) if each.reaches(environment, service)]


def _together(routed: Iterable[Place], subscribed: Iterable[SlackSubscription]) -> list[Place]:
    """What a channel subscribed to is added to its route; where that is over, nothing new is told."""
    found = {place.channel: place.route for place in routed}
    for each in subscribed:
        if each.ended_at is None:
            found[each.channel] = _added(found.get(each.channel), each.channel)
        else:
            found.setdefault(each.channel, SlackRoute(channel=each.channel, post="digest"))
    return [Place(channel, route) for channel, route in found.items()]


def _added(route: SlackRoute | None, channel: str) -> SlackRoute:
    if route is None:
        return SlackRoute(channel=channel)
    return route if route.post in (None, "always") else route.model_copy(update={"post": None})
