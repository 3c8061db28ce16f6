"""What happens to deployments, their steps, lanes and pipelines, and what hosts of repositories report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dg.core.events.fact import DeploymentFact, Fact, LaneFact


@dataclass(frozen=True, kw_only=True)
class DeploymentCreated(DeploymentFact):
    """Somebody asked for a deployment, or dg for a rollback, and it was accepted."""

    kind: str
    version: str
    commit: str
    ref: str | None = None
    rollback_of: str | None = None
    target: str | None = None
    retry_of: str | None = None
    from_step: str | None = None
    note: str | None = None
    override: str | None = None


@dataclass(frozen=True, kw_only=True)
class DeploymentUpdated(DeploymentFact):
    """A pending deployment was changed before it started."""

    changed: list[str]


@dataclass(frozen=True, kw_only=True)
class DeploymentApproved(DeploymentFact):
    """A person agreed to what `content` is the hash of; `given` of `needed` approvals count now."""

    content: str
    given: int
    needed: int
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class DeploymentRejected(DeploymentFact):
    """A person said no; the deployment ends with it."""

    content: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ApprovalVoided(DeploymentFact):
    """What `approver` had decided counts no more, because what it was given to has moved."""

    approver: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ApprovalKept(DeploymentFact):
    """What `approver` had agreed to in the deployment `given_to` is the same in this retry of it."""

    approver: str
    given_to: str
    content: str


@dataclass(frozen=True, kw_only=True)
class GateOverridden(DeploymentFact):
    """A person passed a closed gate, for a reason. Everybody should hear of it: `alert`."""

    gate: str
    reason: str
    alert: bool = True


@dataclass(frozen=True, kw_only=True)
class DeploymentStarted(DeploymentFact):
    """It holds the lane; its runner is being started."""

    status: str
    epoch: int


@dataclass(frozen=True, kw_only=True)
class DeploymentAdvanced(DeploymentFact):
    """Its status moved on without ending: building to deploying, or back to pending before any step ran."""

    status: str


@dataclass(frozen=True, kw_only=True)
class DeploymentAdopted(DeploymentFact):
    """A server that started found its runner alive and went on watching it."""

    epoch: int


@dataclass(frozen=True, kw_only=True)
class DeploymentCancelling(DeploymentFact):
    """Somebody asked to cancel it while it runs."""

    then_rollback: bool
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class DeploymentAbandoned(DeploymentFact):
    """A person gave up waiting for the end of one that was asked to stop: what it began may still run.

    Everybody should hear of it: `alert`.
    """

    reason: str
    alert: bool = True


@dataclass(frozen=True, kw_only=True)
class DeploymentFinished(DeploymentFact):
    """It ended: `status` is success or failed. `duration` is in seconds since it was started.

    `receipt` is the SHA-256 of its receipt. `kind` is not in facts that are older than this field.
    """

    status: str
    kind: str | None = None
    reason: str | None = None
    message: str | None = None
    touched: bool = False
    duration: float = 0.0
    receipt: str | None = None


@dataclass(frozen=True, kw_only=True)
class DeploymentRolledBack(DeploymentFact):
    """Its effect was undone by the deployment `rolled_back_by`, which people call by the number `undone_by`;
    `back_to` is the version that runs since then."""

    rolled_back_by: str
    undone_by: int
    back_to: str


@dataclass(frozen=True, kw_only=True)
class RollbackDeclined(DeploymentFact):
    """dg did not roll back by itself; `message` says why and what a person can do."""

    message: str


@dataclass(frozen=True, kw_only=True)
class StepStarted(DeploymentFact):
    """One step's process or check began."""

    step: str
    index: int
    phase: str


@dataclass(frozen=True, kw_only=True)
class StepFinished(DeploymentFact):
    """One step ended. `seconds` is its duration; `detail` one sentence when it was not well."""

    step: str
    index: int
    phase: str
    ok: bool
    seconds: float
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True, kw_only=True)
class LaneLocked(LaneFact):
    """Nobody deploys there until `until` (microseconds) or until it is unlocked.

    `number` is the deployment after whose end dg locked it, `asked_by` the person who had asked for that one
    where it is a rollback.
    """

    reason: str
    automatic: bool
    until: int
    number: int | None = None
    asked_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class LaneUnlocked(LaneFact):
    """A person opened the lane."""

    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class LaneOpened(LaneFact):
    """A lock or freeze ran out by itself, or nothing that an abandoned deployment had begun runs any more."""

    what: str


@dataclass(frozen=True, kw_only=True)
class VersionBlocked(LaneFact):
    """A commit may not be deployed to this lane until it is unblocked; `deployment` is what went wrong."""

    commit: str
    version: str
    reason: str
    deployment: str | None = None


@dataclass(frozen=True, kw_only=True)
class VersionUnblocked(LaneFact):
    """A person let a commit back into this lane."""

    commit: str
    version: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class FreezeSet(Fact):
    """Lanes were frozen: one (`service`/`environment` given), an environment's, a service's, or all."""

    about: ClassVar[str] = "freeze"

    freeze: str
    reason: str
    until: int
    service: str | None = None
    environment: str | None = None


@dataclass(frozen=True, kw_only=True)
class FreezeLifted(Fact):
    """A freeze was thawed by a person."""

    about: ClassVar[str] = "freeze"

    freeze: str
    service: str | None = None
    environment: str | None = None


@dataclass(frozen=True, kw_only=True)
class PipelineRegistered(Fact):
    """A service's pipeline was registered or changed."""

    about: ClassVar[str] = "service"

    service: str
    revision: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class NoticeReceived(Fact):
    """A repository's host reported `what` (push, tag, release) of a branch or tag, and proved itself."""

    about: ClassVar[str] = "notice"

    notice: str
    source: str
    what: str
    ref: str
    commit: str | None = None


@dataclass(frozen=True, kw_only=True)
class NoticeHandled(Fact):
    """What came of a notice: the deployments that were asked for, and a sentence for each refused one."""

    about: ClassVar[str] = "notice"

    notice: str
    source: str
    deployments: list[str]
    refusals: list[str]
