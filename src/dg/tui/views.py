"""What the dashboard shows of deployments, lanes and facts, made from the client's models.

Plain values, so that the first picture can come from a file before anything heavy is imported. Times are in
microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dg.core.clock import SECOND
from dg.tui.ink import Pieces

if TYPE_CHECKING:
    from dg.client.models import Event
    from dg.core.deployments.models import Deployment, Lane, Progress, Step
    from dg.core.drift.models import ServiceDrift
    from dg.core.health.models import EnvironmentHealth, ServiceHealth

ENVIRONMENTS = ("development", "staging", "production")
PRODUCTION = "production"
ACTIVE = frozenset({"building", "deploying"})
FINAL = frozenset({"success", "failed", "rolled_back"})


@dataclass(frozen=True)
class DeploymentView:
    """One deployment. `state` is its status, or that a person has to agree first."""

    id: str
    number: int
    service: str
    environment: str
    kind: str
    status: str
    state: str
    stage: str
    version: str
    sha: str
    by: str
    created_at: int
    started_at: int | None = None
    completed_at: int | None = None
    hold: str = ""
    message: str = ""
    reason: str = ""
    note: str = ""
    content: str = ""
    rolled_back_by: str = ""
    cancelling: bool = False
    revision: int = 0
    ref: str = ""

    @property
    def active(self) -> bool:
        return self.status in ACTIVE

    @property
    def final(self) -> bool:
        return self.status in FINAL

    @property
    def in_production(self) -> bool:
        return self.environment == PRODUCTION

    @property
    def seconds(self) -> float | None:
        """How long it ran, None while it has not ended."""
        if self.started_at is None or self.completed_at is None:
            return None
        return (self.completed_at - self.started_at) / SECOND

    @property
    def words(self) -> str:
        """What there is to say beside its status, in one sentence."""
        went_back = "rollback" if self.kind == "rollback" else ""
        said = self.hold or self.message or self.reason.replace("_", " ") or self.note or went_back
        return "cancelling" if self.cancelling and not self.final else said

    @property
    def name(self) -> str:
        """`#12 web 1.4.2 → production`"""
        return f"#{self.number} {self.service} {self.version} → {self.environment}"

    @classmethod
    def of(cls, found: Deployment) -> DeploymentView:
        waits = any(gate.name == "approvals" and not gate.open for gate in found.gates or ())
        return cls(
            id=found.id,
            number=found.number,
            service=found.service,
            environment=found.environment.value,
            kind=found.kind.value,
            status=found.status.value,
            state="needs_approval" if waits and found.status.value == "pending" else found.status.value,
            stage=found.stage,
            version=found.version,
            sha=found.commit_sha,
            by=found.created_by_name or found.created_by,
            created_at=found.created_at,
            started_at=found.started_at,
            completed_at=found.completed_at,
            hold=found.hold or "",
            message=found.message or "",
            reason=found.reason.value if found.reason else "",
            note=found.note or "",
            content=found.content or "",
            rolled_back_by=found.rolled_back_by or "",
            cancelling=found.cancel_requested_at is not None,
            revision=found.revision,
            ref=found.ref or "",
        )


@dataclass(frozen=True)
class LaneView:
    """One lane. `version` runs there, as far as that is `known`; `sentence` says why it is closed."""

    service: str
    environment: str
    state: str
    sentence: str
    known: bool = True
    version: str = ""
    sha: str = ""
    current: str = ""
    holder: str = ""
    queue: int = 0
    freeze: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.service, self.environment

    @property
    def standing(self) -> str:
        """The sentence where it is said already which lane it is about: `locked until 05:25 UTC: …`."""
        return self.sentence.removeprefix(f"{self.service}/{self.environment} is ")

    @property
    def closed(self) -> bool:
        return self.state in ("locked", "frozen")

    @classmethod
    def of(cls, found: Lane) -> LaneView:
        return cls(
            service=found.service,
            environment=found.environment.value,
            state=found.state.value,
            sentence=found.sentence,
            known=found.known,
            version=found.current_version or "",
            sha=found.current_sha or "",
            current=found.current or "",
            holder=found.holder or "",
            queue=len(found.queue),
            freeze=found.freeze.id if found.freeze else "",
        )


@dataclass(frozen=True)
class ServiceView:
    """How one service is, since when and why; `suspect` is the number of what had begun shortly before."""

    name: str
    status: str
    since: int | None = None
    why: str = ""
    suspect: int | None = None

    @property
    def well(self) -> bool:
        return self.status == "healthy"

    @classmethod
    def of(cls, found: ServiceHealth) -> ServiceView:
        suspect = found.suspect.number if found.suspect else None
        return cls(found.name, found.status.value, found.since, found.message or "", suspect)


@dataclass(frozen=True)
class EnvironmentView:
    """How one environment is; without `services` nobody looks. `drifts` says of each service that runs
    something else than was deployed what that is."""

    name: str
    domain: str = ""
    status: str = ""
    since: int | None = None
    services: tuple[ServiceView, ...] = ()
    drifts: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        """Whether nothing that anybody looks at is wrong."""
        return all(each.well for each in self.services)

    @classmethod
    def of(cls, domain: str, health: EnvironmentHealth, drift: Iterable[ServiceDrift]) -> EnvironmentView:
        return cls(
            name=health.name.value,
            domain=domain,
            status=health.status,
            since=health.since,
            services=tuple(map(ServiceView.of, health.services)),
            drifts=tuple(each.sentence for each in drift if each.status.value == "drifted"),
        )


@dataclass(frozen=True)
class StepView:
    """One step of a run; durations in seconds."""

    index: int
    name: str
    phase: str
    status: str
    started_at: int | None = None
    seconds: float | None = None
    expected: float | None = None
    detail: str = ""

    @classmethod
    def of(cls, found: Step) -> StepView:
        return cls(
            index=found.index,
            name=found.name,
            phase=found.phase,
            status=found.status.value,
            started_at=found.started_at,
            seconds=found.seconds,
            expected=found.expected,
            detail=found.detail or "",
        )


@dataclass(frozen=True)
class ProgressView:
    """How far a run is: `share` from 0 to 1, its end as it is expected."""

    share: float
    steps: tuple[StepView, ...]
    ends_at: int | None = None

    @classmethod
    def of(cls, found: Progress) -> ProgressView:
        steps = tuple(map(StepView.of, found.steps))
        return cls(found.progress / 100, steps, found.estimated_completion)


@dataclass(frozen=True)
class FactView:
    """One fact of the ledger, as a line of the activity."""

    seq: int
    at: int
    type: str
    by: str
    service: str
    environment: str
    number: int | None
    said: str
    ink: str

    @property
    def pieces(self) -> Pieces:
        where = "/".join(filter(None, (self.service, self.environment)))
        number = f" #{self.number}" if self.number else ""
        return [
            (self.said, self.ink),
            (f" {where}{number}" if where else "", "fg"),
            (f"  {self.by}", "muted"),
        ]

    @classmethod
    def of(cls, found: Event) -> FactView:
        number = found.payload.get("number")
        return cls(
            seq=found.seq,
            at=found.at,
            type=found.type,
            by=found.actor_name or found.actor,
            service=found.service or "",
            environment=found.environment or "",
            number=number if isinstance(number, int) else None,
            said=_said(found.type, found.payload),
            ink=_ink(found.type, found.payload),
        )


_INKS = {
    "deployment.started": "progress",
    "deployment.advanced": "progress",
    "deployment.rolled_back": "warn",
    "deployment.rejected": "warn",
    "deployment.approved": "ok",
    "lane.locked": "warn",
    "freeze.set": "warn",
    "gate.overridden": "warn",
    "rollback.declined": "err",
    "access.denied": "err",
    "drift.found": "warn",
    "drift.resolved": "ok",
    "backup.failed": "err",
    "backup.test_failed": "err",
    "secret.aged": "warn",
}
_HEALTH_INKS = {"healthy": "ok", "degraded": "warn", "unhealthy": "err"}
_ENDED_INKS = {"success": "ok", "failed": "err"}


def _ink(kind: str, payload: Mapping[str, object]) -> str:
    if kind == "environment.health_changed":
        return _HEALTH_INKS.get(str(payload.get("service_status")), "muted")
    if kind == "deployment.finished":
        return _ENDED_INKS.get(str(payload.get("status")), "muted")
    return _INKS.get(kind, "muted")


def _said(kind: str, payload: Mapping[str, object]) -> str:
    """What happened, in a few words."""
    match kind:
        case "deployment.finished":
            ended = str(payload.get("status", "ended"))
            if payload.get("kind") == "rollback":
                return "rollback " + {"success": "succeeded"}.get(ended, ended)
            return ended.replace("_", " ")
        case "deployment.rolled_back" if "undone_by" in payload:
            return f"undone by #{payload['undone_by']}, back to {payload.get('back_to', '')}"
        case "deployment.created":
            what = "rollback to" if payload.get("kind") == "rollback" else "asked for"
            return f"{what} {payload.get('version', '')}"
        case "deployment.approved":
            return f"approved {payload.get('given', '')} of {payload.get('needed', '')}"
        case "step.started" | "step.finished":
            return f"{payload.get('step', '')} {kind.removeprefix('step.')}"
        case "deployment.advanced":
            return f"{payload.get('status', 'advanced')}"
        case "environment.health_changed":
            return f"{payload.get('service_status', 'health changed')}"
        case _ if kind.startswith("deployment."):
            return kind.removeprefix("deployment.").replace("_", " ")
        case _:
            return kind.replace(".", " ").replace("_", " ")
