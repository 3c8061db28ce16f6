"""Makes messages for Slack of what happened: which channel hears of it, and how urgent it is.

A message holds no state: what it shows is how things are when it is sent, so that only the newest is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dg.core import ledger
from dg.core.clock import Clock, Ids
from dg.core.database import Tx
from dg.core.deployments import store as deployments
from dg.core.deployments.filters import exactly
from dg.core.deployments.models import FINAL, Deployment, Reason, Status
from dg.core.events import (
    DeploymentCreated,
    DeploymentFinished,
    EnvironmentHealthChanged,
    FreezeLifted,
    FreezeSet,
    LaneLocked,
    SlackChannelMuted,
    SlackChannelUnmuted,
    StepFinished,
    StepStarted,
)
from dg.core.ledger import Entry
from dg.core.outbox import store as outbox
from dg.core.slack import audience, health
from dg.core.slack.routing import KIND, Place, Routes
from dg.core.types import Environment
from dg.settings.slack import SlackRoute

ALARM, FINAL_STATE, DECISION, CHANGE, PROGRESS, DETAIL = 0, 1, 2, 3, 5, 6
"""How urgent a message is, the most urgent first."""

_KINDS = frozenset({"deployment", "step", "lane", "freeze", "approval", "gate"})
_SINGLE = frozenset({EnvironmentHealthChanged.type, SlackChannelMuted.type, SlackChannelUnmuted.type})
_STEPS = frozenset({StepStarted.type, StepFinished.type})
_STOPPED = frozenset({Reason.CANCELLED, Reason.REJECTED, Reason.EXPIRED, Reason.SUPERSEDED})
_MOST_WAITING = 20
_SPACING = 10.0
"""Seconds between two looks at the progress of one deployment."""


class Announcements:
    """The outbox's follower for Slack."""

    def __init__(self, clock: Clock, ids: Ids, routes: Routes) -> None:
        self._clock = clock
        self._ids = ids
        self._routes = routes

    def wants(self, entry: Entry) -> bool:
        kind = entry.type.partition(".")[0]
        told = kind in _KINDS or entry.type in _SINGLE
        return bool(self._routes) and told

    def project(self, tx: Tx, entries: Sequence[Entry]) -> None:
        for entry in entries:
            kind = entry.type.partition(".")[0]
            if kind == "lane":
                self._lane(tx, entry)
            elif kind == "freeze":
                self._freeze(tx, entry)
            elif kind == "environment":
                self._health(tx, entry)
            elif kind == "slack":
                self._mute(tx, entry)
            elif (found := deployments.find(tx, entry.object)) is not None:
                self._deployment(tx, found, entry)

    # --- deployments

    def _deployment(self, tx: Tx, deployment: Deployment, entry: Entry) -> None:
        for place in audience.of_lane(tx, self._routes, deployment.environment.value, deployment.service):
            self._tell(tx, place, deployment, entry)

    def _tell(self, tx: Tx, place: Place, deployment: Deployment, entry: Entry) -> None:
        key = f"{place.channel}:deployment:{deployment.id}"
        if not is_told(place.route, deployment) and outbox.find(tx, KIND, key) is None:
            return
        about = {"what": "deployment", "deployment": deployment.id, "urgent": cannot_wait(deployment)}
        if entry.type in _STEPS:
            self._put(tx, place, key, about, PROGRESS, _SPACING)
        else:
            self._put(tx, place, key, about, _urgency(deployment))
        if entry.type == DeploymentFinished.type and _went_wrong(deployment):
            self._detail(tx, place, "log", deployment, key)
        if entry.type == DeploymentCreated.type and deployment.guard and deployment.guard.approvals:
            self._detail(tx, place, "changes", deployment, key)
        if entry.type == DeploymentFinished.type and deployment.status is Status.SUCCESS:
            self._supersede(tx, place, deployment)

    def _supersede(self, tx: Tx, place: Place, newest: Deployment) -> None:
        """Look again at messages that offer to roll back what ran before, or show what they bring to it."""
        lane = newest.service, newest.environment.value
        for before in (*deployments.successes(tx, *lane, 2), *_wrong_last(tx, *lane)):
            if before.id != newest.id:
                self._again(tx, place, before)
        for waiting in deployments.queue(tx, *lane)[:_MOST_WAITING]:
            self._again(tx, place, waiting)
            if outbox.find(tx, KIND, _detail_key(place, "changes", waiting)) is not None:
                parent = f"{place.channel}:deployment:{waiting.id}"
                self._detail(tx, place, "changes", waiting, parent)
        for key, about in health.suspecting(tx, place, *lane):
            self._put(tx, place, key, about, CHANGE)

    def _again(self, tx: Tx, place: Place, deployment: Deployment) -> None:
        """Look again at the message of a deployment, where there is one."""
        key = f"{place.channel}:deployment:{deployment.id}"
        if outbox.find(tx, KIND, key) is not None:
            about = {"what": "deployment", "deployment": deployment.id, "urgent": cannot_wait(deployment)}
            self._put(tx, place, key, about, CHANGE)

    def _detail(self, tx: Tx, place: Place, what: str, deployment: Deployment, parent: str) -> None:
        urgent = cannot_wait(deployment)
        about = {"what": what, "deployment": deployment.id, "parent": parent, "urgent": urgent}
        self._put(tx, place, _detail_key(place, what, deployment), about, DETAIL)

    # --- lanes

    def _lane(self, tx: Tx, entry: Entry) -> None:
        if entry.service is None or entry.environment is None:
            return
        places = audience.of_lane(tx, self._routes, entry.environment, entry.service)
        if not places:
            return
        lane = {"service": entry.service, "environment": entry.environment}
        closed = [each for each in ledger.about(tx, entry.object) if each.type == LaneLocked.type]
        if closed and not closed[-1].payload.get("automatic"):
            since = {"what": "lane", **lane, "lock": closed[-1].payload, "by": closed[-1].actor}
            for place in places:
                key = f"{place.channel}:lane:{entry.service}/{entry.environment}:{closed[-1].seq}"
                self._change(tx, place, key, since)
        # The messages of what waits there, and of what went wrong last, say how their lane is, too.
        waiting = deployments.queue(tx, entry.service, entry.environment)[:_MOST_WAITING]
        wrong = _wrong_last(tx, entry.service, entry.environment)
        for deployment in (*waiting, *wrong):
            for place in places:
                self._again(tx, place, deployment)

    def _freeze(self, tx: Tx, entry: Entry) -> None:
        told = audience.of_lanes(tx, self._routes, entry.environment, entry.service)
        began = [each for each in ledger.about(tx, entry.object) if each.type == FreezeSet.type]
        ended = entry.type == FreezeLifted.type
        for place in told if began else ():
            about = {"what": "freeze", "freeze": entry.object, "set": began[0].payload, "by": began[0].actor}
            self._change(tx, place, f"{place.channel}:freeze:{entry.object}", {**about, "over": ended})

    def _change(self, tx: Tx, place: Place, key: str, about: Mapping[str, Any]) -> None:
        """Tell it, where the digest does not; what stands there already goes on showing how it is."""
        if place.route.post != "digest" or outbox.find(tx, KIND, key) is not None:
            self._put(tx, place, key, about, CHANGE)

    # --- health

    def _health(self, tx: Tx, entry: Entry) -> None:
        for place, key, about in health.told(tx, entry, self._routes):
            bad = not about["over"] and about["status"] == health.UNHEALTHY
            about = {**about, "urgent": bad and entry.environment == Environment.PRODUCTION}
            self._put(tx, place, key, about, ALARM if bad else FINAL_STATE if about["over"] else CHANGE)

    # --- channels

    def _mute(self, tx: Tx, entry: Entry) -> None:
        fact = entry.payload
        key = f"{fact['channel']}:mute:{fact['mute']}"
        known = outbox.find(tx, KIND, key)
        over = entry.type == SlackChannelUnmuted.type
        if over and known is None:
            return
        said = known.payload if over and known else {**fact, "by": entry.actor}
        about = {**said, "what": "mute", "urgent": True, "over": over}
        channel = str(fact["channel"])
        self._put(tx, Place(channel, SlackRoute(channel=channel)), key, about, CHANGE)

    def _put(
        self,
        tx: Tx,
        place: Place,
        key: str,
        about: Mapping[str, Any],
        priority: int,
        spacing: float = 0.0,
    ) -> None:
        outbox.put(
            tx,
            id=self._ids.new(),
            kind=KIND,
            key=key,
            destination=place.destination,
            payload={**about, "channel": place.channel},
            now=self._clock.micros(),
            priority=priority,
            spacing=spacing,
        )


def is_told(route: SlackRoute, deployment: Deployment) -> bool:
    """Whether a channel that hears of its lane gets a message of it."""
    usual = "always" if deployment.environment is Environment.PRODUCTION else "on_failure"
    post = route.post or usual
    return post == "always" or (post == "on_failure" and _went_wrong(deployment))


def cannot_wait(deployment: Deployment) -> bool:
    """Whether it is told in quiet hours and while a channel is muted, too."""
    if deployment.status is Status.PENDING:
        return bool(deployment.guard and deployment.guard.approvals)
    return deployment.environment is Environment.PRODUCTION and _went_wrong(deployment)


def _went_wrong(deployment: Deployment) -> bool:
    failed = deployment.status in (Status.FAILED, Status.ROLLED_BACK)
    return failed and deployment.reason not in _STOPPED


def _wrong_last(tx: Tx, service: str, environment: str) -> list[Deployment]:
    """The newest of a lane that failed, and the newest that was rolled back."""
    return [
        found
        for status in (Status.FAILED, Status.ROLLED_BACK)
        for found in deployments.page(
            tx, exactly(service=service, environment=environment, status=status), None, 1
        )
    ]


def _urgency(deployment: Deployment) -> int:
    if deployment.status in FINAL:
        return FINAL_STATE
    return DECISION if deployment.status is Status.PENDING else CHANGE


def _detail_key(place: Place, what: str, deployment: Deployment) -> str:
    return f"{place.channel}:{what}:{deployment.id}"
