"""What the dashboard knows by now. The feed fills it in, screens read it, nobody else holds anything."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args

from dg.core.clock import to_datetime
from dg.tui.auth import Rights
from dg.tui.views import DeploymentView, EnvironmentView, FactView, LaneView, ProgressView, ServiceView

RECENT = 200
"""Deployments that are kept, the newest."""
ACTIVITY = 200
"""Facts that are kept."""
FORM = 2
"""Of the file with the last picture; another one is not read."""


class LinkState(Enum):
    """How the connection is."""

    CONNECTING = "connecting"
    LIVE = "live"
    SLOW = "slow"
    LIMITED = "limited"
    """The server takes no more requests until `again_at`."""
    POLLING = "polling"
    """Its stream is refused somewhere on the way, so that it is asked every few seconds."""
    DISCONNECTED = "disconnected"
    SIGNED_OUT = "signed out"


@dataclass(frozen=True)
class Link:
    """The connection: since when it is so (monotonic seconds), why, and when it is tried again."""

    state: LinkState = LinkState.CONNECTING
    since: float = 0.0
    why: str = ""
    attempt: int = 0
    again_at: float = 0.0

    @property
    def live(self) -> bool:
        """Whether what is shown is what is so, and something may be sent."""
        return self.state in (LinkState.LIVE, LinkState.SLOW, LinkState.LIMITED, LinkState.POLLING)


Topic = Literal["link", "rights", "environments", "lanes", "deployments", "progress", "activity"]
TOPICS: frozenset[Topic] = frozenset(get_args(Topic))


@dataclass
class Store:
    """The last known state of everything that is shown. `at` is when it was so, in microseconds."""

    on_change: Callable[[Topic], None] = lambda topic: None
    link: Link = field(default_factory=Link)
    rights: Rights = field(default_factory=Rights)
    environments: dict[str, EnvironmentView] = field(default_factory=dict)
    lanes: dict[tuple[str, str], LaneView] = field(default_factory=dict)
    deployments: dict[str, DeploymentView] = field(default_factory=dict)
    progress: dict[str, ProgressView] = field(default_factory=dict)
    activity: deque[FactView] = field(default_factory=lambda: deque(maxlen=ACTIVITY))
    seq: int | None = None
    at: int = 0

    def set_link(self, link: Link) -> None:
        if link != self.link:
            self.link = link
            self.on_change("link")

    def set_rights(self, rights: Rights) -> None:
        if rights != self.rights:
            self.rights = rights
            self.on_change("rights")

    def put_environment(self, found: EnvironmentView) -> None:
        if self.environments.get(found.name) != found:
            self.environments[found.name] = found
            self.on_change("environments")

    def set_lanes(self, lanes: Iterable[LaneView]) -> None:
        found = {lane.key: lane for lane in lanes}
        if found != self.lanes:
            self.lanes = found
            self.on_change("lanes")

    def set_deployments(self, found: Iterable[DeploymentView]) -> None:
        """These are the newest ones."""
        fresh = {each.id: each for each in found}
        if fresh != self.deployments:
            self.deployments = fresh
            self._forget_progress()
            self.on_change("deployments")

    def put_deployment(self, found: DeploymentView) -> None:
        """One of them, new or changed; an older look at it than the one that is known changes nothing."""
        known = self.deployments.get(found.id)
        if known == found or (known is not None and known.revision > found.revision):
            return
        self.deployments[found.id] = found
        if len(self.deployments) > RECENT:
            del self.deployments[min(self.deployments.values(), key=lambda each: each.number).id]
        self._forget_progress()
        self.on_change("deployments")

    def put_progress(self, deployment_id: str, progress: ProgressView) -> None:
        known = self.deployments.get(deployment_id)
        if known is not None and known.active and self.progress.get(deployment_id) != progress:
            self.progress[deployment_id] = progress
            self.on_change("progress")

    def add_fact(self, fact: FactView) -> None:
        self.activity.append(fact)
        self.on_change("activity")

    def _forget_progress(self) -> None:
        running = {each.id for each in self.deployments.values() if each.active}
        self.progress = {id_: progress for id_, progress in self.progress.items() if id_ in running}

    @property
    def running(self) -> list[DeploymentView]:
        """What is under way, the oldest first."""
        return sorted(
            (each for each in self.deployments.values() if each.active), key=lambda each: each.number
        )

    def keep(self, path: Path) -> None:
        """Write the picture for the next start. Raises OSError."""
        from dg.core.home import write_private

        document = {
            "form": FORM,
            "at": self.at,
            "environments": [asdict(each) for each in self.environments.values()],
            "lanes": [asdict(lane) for lane in self.lanes.values()],
            "deployments": [asdict(each) for each in self.deployments.values()],
            "activity": [asdict(fact) for fact in self.activity],
        }
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(path, json.dumps(document, separators=(",", ":")))

    def recall(self, path: Path) -> bool:
        """Take the picture of the last time, if there is a whole one; what is live already is kept."""
        try:
            found = json.loads(path.read_text("utf-8"))
            environments, lanes, deployments, facts = _read(found)
            at = found["at"]
            to_datetime(at)
        except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
            # It is only a picture of how things were: without it the first one comes from the server.
            return False
        self.at = at
        self.environments = {each.name: each for each in environments}
        self.lanes = {lane.key: lane for lane in lanes}
        self.deployments = {each.id: each for each in deployments}
        self.activity.extend(facts)
        return True


def _read(
    found: Any,
) -> tuple[list[EnvironmentView], list[LaneView], list[DeploymentView], list[FactView]]:
    if found["form"] != FORM:
        raise ValueError("another form")
    return (
        [_environment(item) for item in found["environments"]],
        [_made(LaneView, item) for item in found["lanes"]],
        [_made(DeploymentView, item) for item in found["deployments"]],
        [_made(FactView, item) for item in found["activity"]],
    )


def _environment(item: dict[str, Any]) -> EnvironmentView:
    services = tuple(_made(ServiceView, each) for each in item["services"])
    found: EnvironmentView = _made(
        EnvironmentView, {**item, "services": services, "drifts": tuple(item["drifts"])}
    )
    if not all(isinstance(each, str) for each in found.drifts):
        raise TypeError("drifts")
    return found


_KINDS: Mapping[str, Any] = {"int": int, "str": str, "bool": bool, "int | None": int | None}


def _made(kind: Any, item: dict[str, Any]) -> Any:
    """A view from the file, which anybody may have changed: each field of the kind that it should have."""
    made = kind(**item)
    for name, wanted in kind.__annotations__.items():
        fits = tuple if wanted.startswith("tuple[") else _KINDS[wanted]
        if not isinstance(getattr(made, name), fits):
            raise TypeError(name)
    return made
