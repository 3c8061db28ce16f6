"""How an environment was at a moment that is over. Times are integer microseconds since the epoch (UTC)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from dg.core.deployments.models import Freeze, Kind, LaneState, Lock
from dg.core.health.models import Status, Verdict
from dg.core.types import Environment


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Ran(_Model):
    """The deployment whose content ran in a lane; it had ended at `completed_at`."""

    id: str
    number: int
    version: str
    commit_sha: str
    by: str
    by_name: str | None = None
    completed_at: int


class UnderWay(_Model):
    """A deployment that held a lane, and what it was at.

    A pending one is the rollback that dg had put next when a deployment failed; it had not `started_at` then.
    """

    id: str
    number: int
    kind: Kind
    version: str
    commit_sha: str
    status: Literal["pending", "building", "deploying"]
    by: str
    by_name: str | None = None
    started_at: int | None = None


class SeenDrift(_Model):
    """What ran there instead, as a check had found it and was told `at` that moment."""

    found: str
    at: int


class PastLane(_Model):
    """One lane as it was.

    `current` is what ran there, None when nothing was deployed yet or when it was not `known`: a deployment
    that had touched the environment had failed. `waiting` counts the deployments that stood in its queue.
    """

    service: str
    environment: Environment
    state: LaneState
    sentence: str
    known: bool
    current: Ran | None = None
    holder: UnderWay | None = None
    waiting: int = 0
    lock: Lock | None = None
    freeze: Freeze | None = None
    drift: SeenDrift | None = None


class PastHealth(_Model):
    """What a service had last been found to be, `since` then."""

    service: str
    status: Status
    since: int
    message: str | None = None


class PastEnvironment(_Model):
    """One environment `at` a moment.

    `version` is that of its configuration, 0 before the first. Without a `status` nothing had been told of
    its health. `recorded_at` is the moment of the oldest record: nothing is known of before.
    """

    name: Environment
    at: int
    recorded_at: int
    version: int = 0
    status: Verdict | None = None
    services: tuple[PastHealth, ...] = ()
    lanes: tuple[PastLane, ...] = ()
