"""What a deployment, a lane and a pipeline record are; the one table of states and moves.

Times are integer microseconds since the epoch (UTC), durations seconds as float. Specification: Deployment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from dg.core.deployments.gates.demands import Guard
from dg.core.types import Environment

T = TypeVar("T")


class Status(StrEnum):
    """The specification's enum, nothing added; detail goes to `stage`, `reason` and `hold`."""

    PENDING = "pending"
    BUILDING = "building"
    DEPLOYING = "deploying"
    SUCCESS = "success"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"


class Reason(StrEnum):
    """Why a deployment failed. The ones that gates bring stand here already: clients may switch on them."""

    STEP_FAILED = "step_failed"
    TIMEOUT = "timeout"
    IDLE = "idle"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    GATE = "gate"
    INTERRUPTED = "interrupted"
    VERIFY_FAILED = "verify_failed"


Happening = Literal["push", "tag", "release"]
"""What the host of a repository reports of a branch or tag."""


class Kind(StrEnum):
    """What a deployment is for. A redeploy puts the content that already runs there once more."""

    DEPLOY = "deploy"
    REDEPLOY = "redeploy"
    ROLLBACK = "rollback"


MOVES: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.BUILDING, Status.DEPLOYING, Status.FAILED}),
    Status.BUILDING: frozenset({Status.PENDING, Status.DEPLOYING, Status.SUCCESS, Status.FAILED}),
    Status.DEPLOYING: frozenset({Status.PENDING, Status.SUCCESS, Status.FAILED}),
    Status.SUCCESS: frozenset({Status.ROLLED_BACK}),
    Status.FAILED: frozenset({Status.ROLLED_BACK}),
    Status.ROLLED_BACK: frozenset(),
}
"""The one table of moves. Back to pending is for a start that provably ran no step (the server died between
taking the lane and starting the runner); success and failed leave only by their rollback's own success."""

ACTIVE = frozenset({Status.BUILDING, Status.DEPLOYING})
FINAL = frozenset({Status.SUCCESS, Status.FAILED, Status.ROLLED_BACK})


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Note = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Ref = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]


class CreateDeployment(_Model):
    """What a caller asks for. `version` is a label; without it the short commit is the version.

    `ref` is a branch, tag or commit; `commit_sha` (7 to 40 hex digits) may be given instead. `base_sha` (as
    many) is what the caller saw running there; it is refused when that has moved. `not_before` and
    `expires_at` are microseconds.
    """

    environment: Environment
    service: str | None = None
    ref: Ref | None = None
    commit_sha: str | None = None
    base_sha: str | None = None
    version: str | None = None
    not_before: int | None = None
    expires_at: int | None = None
    note: Note | None = None


class UpdateDeployment(_Model):
    """What may be changed while a deployment is pending; fields that are not set stay as they are."""

    not_before: int | None = None
    expires_at: int | None = None
    note: Note | None = None


class RequestRollback(_Model):
    """A rollback of a lane, or of one deployment's lane. Without `target` dg takes the newest good one.

    `override` is the reason for passing a manual lock or a freeze; `cross_irreversible` agrees to pass a step
    that is marked `reversible = false`.
    """

    target: str | None = None
    reason: Note | None = None
    override: Note | None = None
    cross_irreversible: bool = False


class RequestRetry(_Model):
    """Take a failed deployment up again, from the first step that did not succeed or from `from_step`.

    `confirm` agrees to run steps again that had begun and are marked `resume = "ask"`.
    """

    from_step: str | None = None
    confirm: bool = False
    note: Note | None = None


class Approve(_Model):
    """A person's yes. `content` is the hash that `Deployment.content` had when the person looked."""

    content: str | None = None
    note: Note | None = None


class Override(_Model):
    """Pass closed gates, by their names, for a stated reason."""

    gates: Annotated[tuple[str, ...], Field(min_length=1, max_length=20)]
    reason: Note


class Gate(_Model):
    """One thing that must be true before a deployment may take its lane.

    `name` is approvals, requires, soak, keys, window, or the text of an expression. `sentence` says what is
    so; `opens_at` when it opens by itself, `who` can open it; `values` are what it was judged by.
    """

    name: str
    open: bool
    sentence: str
    opens_at: int | None = None
    who: str | None = None
    overridden_by: str | None = None
    values: dict[str, str | int | bool] = {}


class Verdict(StrEnum):
    """What a person decided about a deployment that waits."""

    APPROVED = "approved"
    REJECTED = "rejected"
    OVERRIDDEN = "overridden"


class Approval(_Model):
    """A person's decision, bound to the `content` that was decided on; it counts no more once it is voided.

    `gate` is what an override passes; `note` why, in the person's words.
    """

    by: str
    by_name: str | None = None
    at: int
    verdict: Verdict
    gate: str | None = None
    content: str
    expires_at: int | None = None
    note: str | None = None
    voided_at: int | None = None
    void_reason: str | None = None


class Deployment(_Model):
    """One deployment as it stands. `hold` says in one sentence what a pending one waits for.

    A retry (`retry_of`) runs the steps from `from_step` on; those before it are not run again.
    `gates` are as they stand while it is pending and as they were judged when it started; `content` is what
    an approval is bound to. Both, and `approvals`, are None where nobody looked.
    """

    id: str
    number: int
    service: str
    environment: Environment
    kind: Kind
    status: Status
    stage: str
    version: str
    commit_sha: str
    ref: str | None = None
    base_sha: str | None = None
    rollback_of: str | None = None
    target: str | None = None
    rolled_back_by: str | None = None
    retry_of: str | None = None
    from_step: str | None = None
    reason: Reason | None = None
    message: str | None = None
    hold: str | None = None
    note: str | None = None
    override: str | None = None
    touched: bool = False
    created_by: str
    created_by_name: str | None = None
    created_at: int
    queued_at: int
    not_before: int | None = None
    expires_at: int | None = None
    started_at: int | None = None
    deploying_at: int | None = None
    completed_at: int | None = None
    build_time: float | None = None
    deploy_time: float | None = None
    cancel_requested_at: int | None = None
    cancel_then_rollback: bool = False
    pipeline_sha256: str
    outputs: dict[str, str] = {}
    epoch: int = 0
    revision: int = 0
    spool_seq: int = 0
    guard: Guard | None = Field(default=None, exclude=True)
    content: str | None = None
    gates: tuple[Gate, ...] | None = None
    approvals: tuple[Approval, ...] | None = None

    @property
    def lane(self) -> tuple[str, str]:
        return self.service, self.environment.value

    @property
    def identity(self) -> dict[str, Any]:
        """What every fact about it carries (`events.DeploymentFact`)."""
        service, environment = self.lane
        return {"deployment": self.id, "service": service, "environment": environment, "number": self.number}


class StepStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    SKIPPED = "skipped"


BEGAN = frozenset({StepStatus.RUNNING, StepStatus.SUCCESS, StepStatus.FAILED})
"""States of a step that may have had an effect."""


class Step(_Model):
    """One step of one deployment's run."""

    index: int
    name: str
    phase: Literal["build", "deploy", "verify"]
    status: StepStatus = StepStatus.PENDING
    reversible: bool = True
    started_at: int | None = None
    completed_at: int | None = None
    seconds: float | None = None
    expected: float | None = None
    reason: str | None = None
    detail: str | None = None


class Progress(_Model):
    """How far a deployment is: `progress` 0 to 100, `logs` the newest lines, the estimate from history."""

    deployment: Deployment
    progress: float
    steps: tuple[Step, ...]
    logs: tuple[str, ...] = ()
    estimated_completion: int | None = None


class LogLine(_Model):
    """One line of output. `seq` counts from 0 over the whole run; `step` is its index, None the checkout."""

    seq: int
    at: int
    step: int | None = None
    text: str


@dataclass(frozen=True)
class Chunk:
    """Whole lines of one step: `first` is the number of the first one; `body` ends with a line feed."""

    first: int
    step: int
    lines: int
    body: bytes


@dataclass(frozen=True)
class News:
    """What a run reported since it was last read. `alive` is False once its runner is gone for good."""

    events: Sequence[Mapping[str, Any]]
    chunks: Sequence[Chunk]
    end: Mapping[str, Any] | None
    alive: bool


@dataclass(frozen=True)
class Remains:
    """What a dead runner left. `began`: a step may have begun; `processes_left`: could not be killed."""

    began: bool
    events: Sequence[Mapping[str, Any]]
    end: Mapping[str, Any] | None
    processes_left: int


class LogPage(_Model):
    """Lines after a cursor. `next_seq` is the cursor to ask with next; `left_out` lines before the first one
    were dropped by the cap; `complete` says that no more will come.
    """

    items: tuple[LogLine, ...]
    next_seq: int
    left_out: int = 0
    complete: bool = False


class CommitLine(_Model):
    """One commit as people read it; `at` is the author's time in microseconds."""

    sha: str
    author: str
    subject: str
    at: int


class Changes(_Model):
    """The commits between what runs in the lane (`base`) and what is asked (`head`).

    `commits` come (newest first), `leaving` go away where base is no ancestor; the totals count all of them.
    """

    base: str | None = None
    head: str
    total: int
    commits: tuple[CommitLine, ...] = ()
    leaving_total: int = 0
    leaving: tuple[CommitLine, ...] = ()


class FileChange(_Model):
    """One file that differs. Lines are counted, None for a file that is not text."""

    path: str
    added: int | None = None
    removed: int | None = None


class FileChanges(_Model):
    """What differs between two commits: `total` files, of which `files` are the first ones by path."""

    total: int
    added: int
    removed: int
    files: tuple[FileChange, ...] = ()


class Diff(_Model):
    """What differs in the files between what runs in the lane (`base`, None for nothing) and what is asked.

    `patch` is git's unified form, safe for a terminal; `cut` says that there is more of it.
    """

    base: str | None = None
    head: str
    files: FileChanges
    patch: str
    cut: bool = False


class LockLane(_Model):
    """Close one lane by hand. A lock always ends: `until` (microseconds) and the reason are required."""

    reason: Note
    until: int


class Lock(_Model):
    """Why a lane takes nothing new. `asked_by` asked for the rollback after which dg locked it."""

    reason: str
    automatic: bool
    by: str
    since: int
    until: int
    asked_by: str | None = None


class SetFreeze(_Model):
    """Freeze lanes: one, all of a service, all of an environment, or all (both None)."""

    reason: Note
    until: int
    service: str | None = None
    environment: Environment | None = None


class Freeze(_Model):
    id: str
    reason: str
    by: str
    since: int
    until: int
    service: str | None = None
    environment: Environment | None = None


class LaneState(StrEnum):
    """What a lane is at this moment, the strongest reason first."""

    FROZEN = "frozen"
    LOCKED = "locked"
    BUSY = "busy"
    OPEN = "open"

    @property
    def closed(self) -> bool:
        """Whether nothing new is taken."""
        return self in (LaneState.FROZEN, LaneState.LOCKED)


class Lane(_Model):
    """A lane: one service in one environment; one deployment at a time holds it.

    `current` is the deployment whose content runs there, None when nothing was deployed or when it is not
    known (`known` is then False: a deployment that had touched the environment failed). `sentence`
    is `explain()`: what closes it, since when, who can open it and how.
    """

    service: str
    environment: Environment
    state: LaneState
    sentence: str
    holder: str | None = None
    current: str | None = None
    current_version: str | None = None
    current_sha: str | None = None
    known: bool = True
    lock: Lock | None = None
    freeze: Freeze | None = None
    queue: tuple[str, ...] = ()


class BlockVersion(_Model):
    """Keep a commit out of one lane. `version` is one that was deployed, or a branch, tag or commit."""

    version: Ref
    reason: Note


class Block(_Model):
    """A commit that may not come to a lane. `deployment` went wrong; None when a person blocked it."""

    service: str
    environment: Environment
    commit_sha: str
    version: str
    reason: str
    at: int
    deployment: str | None = None


class Waiting(_Model):
    """A deployment in a lane's queue: `position` counts from 1, `estimated_start` is known from history."""

    position: int
    deployment: Deployment
    estimated_start: int | None = None


class RegisteredPipeline(_Model):
    """One revision of a service's pipeline. Revisions count from 1 per service."""

    service: str
    revision: int
    sha256: str
    text: str
    registered_at: int
    registered_by: str


class Page(BaseModel, Generic[T]):
    """One page of a list; `next_cursor` is opaque, None on the last page."""

    model_config = ConfigDict(frozen=True)

    items: tuple[T, ...]
    next_cursor: str | None = None
