"""What a deployment or a rollback would do and whether it may: the answers of `Deployments.preview` and
`preview_rollback`. Times are microseconds, durations seconds."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

from dg.core.deployments.models import Changes, Deployment, FileChanges, Gate, Kind, Status
from dg.core.deployments.pipeline import PlannedStep
from dg.core.types import Environment


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PreviewVerdict(StrEnum):
    """What would become of a deployment that is asked for now."""

    STARTS = "starts"
    WAITS = "waits"
    REFUSED = "refused"


class RollbackVerdict(StrEnum):
    """What would become of a rollback: `asks` is for one that a person should look at, or must agree to."""

    SAFE = "safe"
    ASKS = "asks"
    REFUSED = "refused"


class Objection(_Model):
    """What speaks against it: the stable word and the sentence that a refusal carries too."""

    reason: str
    sentence: str


class Consequence(_Model):
    """What follows by itself: a stable word, and the sentence with the way out."""

    reason: Literal["lane_locked", "version_blocked"]
    sentence: str


class Preview(_Model):
    """A deployment that nobody has asked for yet. `current` is the deployment that runs in its lane now.

    `objections` hold everything that would refuse it, the first one being the answer of a create. `gates`
    are what it would wait for, as they stand. `steps` are empty when the pipeline cannot run there.
    `expected` and `estimated_start` are None without experience. `source` names the entry of the settings'
    `git.sources` whose `credential` let the server into the repository; both None where there is none.
    """

    service: str
    environment: Environment
    kind: Kind
    version: str
    commit_sha: str
    ref: str | None = None
    current: str | None = None
    current_version: str | None = None
    verdict: PreviewVerdict
    sentence: str
    objections: tuple[Objection, ...] = ()
    gates: tuple[Gate, ...] = ()
    changes: Changes
    files: FileChanges | None = None
    steps: tuple[PlannedStep, ...] = ()
    irreversible: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    source: str | None = None
    credential: Literal["ssh_key", "ssh_agent", "token"] | None = None
    expected: float | None = None
    estimated_start: int | None = None


class Artefact(_Model):
    """What a rollback needs of its target: its commit and pipeline, and the outputs that are not built again.

    dg keeps the outputs' values; whether a registry still has what they name is for the steps to find out.
    """

    commit_kept: bool
    pipeline_readable: bool
    outputs: dict[str, str] = {}
    outputs_missing: tuple[str, ...] = ()


class PastRollbacks(_Model):
    """How rollbacks of the lane went: the last ones that ran, and the median of those that went well."""

    count: int
    p50: float | None = None
    last: Status | None = None
    last_at: int | None = None


class RollbackPreview(_Model):
    """A rollback that nobody has asked for yet, from `undoes` to `target`; both None when there is none.

    `changes.leaving` go away, `changes.commits` come back; None when the mirror lacks one of the two commits.
    `crosses` names the steps that cannot be undone. `settings_leaving` are keys of today's pipeline that the
    target's does not have, `settings_returning` the reverse. `objections` refuse it, `doubts` do not.
    `afterwards` is what dg does to the lane once it went well.
    """

    service: str
    environment: Environment
    verdict: RollbackVerdict
    sentence: str
    objections: tuple[Objection, ...] = ()
    doubts: tuple[Objection, ...] = ()
    afterwards: tuple[Consequence, ...] = ()
    undoes: Deployment | None = None
    target: Deployment | None = None
    changes: Changes | None = None
    crosses: tuple[str, ...] = ()
    steps: tuple[PlannedStep, ...] = ()
    expected: float | None = None
    settings_leaving: tuple[str, ...] = ()
    settings_returning: tuple[str, ...] = ()
    artefact: Artefact | None = None
    past: PastRollbacks
