"""Which channel hears of what: the first route of the settings that fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dg.settings.slack import Slack, SlackRoute

KIND = "slack"
"""The outbox's word for these messages."""


class Place(NamedTuple):
    """A channel, and what it is told."""

    channel: str
    route: SlackRoute

    @property
    def destination(self) -> str:
        return destination(self.channel)


def destination(channel: str) -> str:
    """How the outbox calls a channel."""
    return f"{KIND}:{channel}"


def has_digest(route: SlackRoute) -> bool:
    """Whether its lanes are told of once a day."""
    return route.digest or route.post == "digest"


class Routes:
    """The routes of the settings, in their order; none, and False, where there is no bot."""

    def __init__(self, settings: Slack) -> None:
        self._on = settings.mode != "off"
        self._routes = tuple(settings.routes.values()) if self._on else ()

    def __bool__(self) -> bool:
        return self._on

    @property
    def all(self) -> list[Place]:
        """Every route, in the order of the settings."""
        return [Place(route.channel, route) for route in self._routes]

    @property
    def channels(self) -> list[Place]:
        """Each channel once."""
        return list({route.channel: Place(route.channel, route) for route in self._routes}.values())

    def place(self, environment: str, service: str) -> Place | None:
        """Who hears of that lane."""
        return next(self._fitting(environment, service), None)

    def alarmed(self, environment: str, service: str, severity: str) -> Place | None:
        """Who hears that a service is so bad there: `degraded` or `unhealthy`."""
        fitting = self._fitting(environment, service, "health")
        return next((place for place in fitting if _fits(place.route.severities, severity)), None)

    def places(self, environment: str | None, service: str | None) -> list[Place]:
        """All who hear of some of these lanes, each channel once; None is all of a kind."""
        found = {place.channel: place for place in reversed([*self._fitting(environment, service)])}
        return [*reversed(found.values())]

    @property
    def digested(self) -> list[Place]:
        """Each channel once that has a digest."""
        return [*{each.channel: each for each in self._digested()}.values()]

    def in_digest(self, channel: str, environment: str, service: str) -> bool:
        """Whether the digest of a channel tells of that lane."""
        place = self.place(environment, service)
        return place is not None and place.channel == channel and has_digest(place.route)

    def _digested(self) -> Iterator[Place]:
        return (Place(each.channel, each) for each in self._routes if has_digest(each))

    def _fitting(
        self, environment: str | None, service: str | None, what: str = "deployments"
    ) -> Iterator[Place]:
        for route in self._routes:
            named = _fits(route.environments, environment) and _fits(route.services, service)
            if named and _fits(route.tells, what):
                yield Place(route.channel, route)


def _fits(named: Sequence[str], value: str | None) -> bool:
    """Whether a route that names these hears of `value`."""
    return not named or value is None or value in named
