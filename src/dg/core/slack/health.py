"""The one message of a service that is not well: begun when it became so, and resolved in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from dg.core.clock import SECOND
from dg.core.database import Tx
from dg.core.ledger import Entry
from dg.core.outbox import store as outbox
from dg.core.slack import audience
from dg.core.slack.routing import KIND, Place, Routes

DEGRADED, UNHEALTHY = "degraded", "unhealthy"
_HEALTHY = "healthy"
_REOPENS = 30 * 60 * SECOND
"""A service that is not well again so soon after it was is told of where it was told of before."""


class Told(NamedTuple):
    """What a channel is to show under a key."""

    place: Place
    key: str
    about: Mapping[str, Any]


def told(tx: Tx, entry: Entry, routes: Routes) -> Iterator[Told]:
    """The messages that a change of a service's health makes or changes.

    There is one for each severity: who was told of a service that is slow has not been told that it is down.
    """
    environment, service, status = entry.environment, entry.service, entry.payload["service_status"]
    if environment is None or service is None:
        return
    alarmed = audience.alarmed(tx, routes, environment, service, status)
    for place in audience.everybody(tx, routes):
        keys = {each: _key(place, environment, service, each) for each in (UNHEALTHY, DEGRADED)}
        before = {each: found for each, key in keys.items() if (found := _payload(tx, key)) is not None}
        is_open = {each for each, found in before.items() if not found["over"]}
        for severity in keys:
            begins = severity == status and place.channel in alarmed and not (status == DEGRADED and is_open)
            if severity in is_open or begins:
                yield Told(place, keys[severity], _about(entry, severity, before.get(severity)))


def suspecting(
    tx: Tx, place: Place, service: str, environment: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The messages, by their keys, in which a service is not well and a deployment is suspected of it."""
    for severity in (UNHEALTHY, DEGRADED):
        key = _key(place, environment, service, severity)
        found = _payload(tx, key)
        if found is not None and not found["over"] and found["deployment"]:
            yield key, found


def _key(place: Place, environment: str, service: str, severity: str) -> str:
    return f"{place.channel}:health:{environment}/{service}:{severity}"


def _payload(tx: Tx, key: str) -> Mapping[str, Any] | None:
    found = outbox.find(tx, KIND, key)
    return found.payload if found else None


def _about(entry: Entry, severity: str, before: Mapping[str, Any] | None) -> Mapping[str, Any]:
    fact = entry.payload
    status, bad = fact["service_status"], fact["service_status"] in (DEGRADED, UNHEALTHY)
    if before and before["over"] and entry.at - before["at"] > _REOPENS:
        before = None
    worse = severity == DEGRADED and status == UNHEALTHY
    kept = before or {"episode": entry.seq, "since": entry.at}
    said = fact if bad or before is None else before
    suspect = fact if fact.get("deployment") else kept
    return {
        "what": "health",
        "environment": entry.environment,
        "service": entry.service,
        "severity": severity,
        "status": status,
        "episode": kept["episode"],
        "since": kept["since"],
        "at": entry.at,
        "over": worse or status == _HEALTHY or fact.get("probe") is None,
        **{name: said.get(name) for name in ("probe", "message", "because")},
        **{name: suspect.get(name) for name in ("deployment", "number")},
    }
