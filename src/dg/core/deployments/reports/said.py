"""What there is to say about one deployment, in the words that both hosts' APIs are fed from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dg.core.deployments.models import Deployment, Reason, Status
from dg.core.text import plain

_STOPPED = frozenset({Reason.CANCELLED, Reason.REJECTED, Reason.EXPIRED, Reason.SUPERSEDED})


class Phase(StrEnum):
    """How far a deployment is, as others want to know it."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    STOPPED = "stopped"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True)
class Report:
    """One deployment as a host is told of it. `started` says that it held its lane."""

    deployment: str
    number: int
    service: str
    environment: str
    commit: str
    ref: str
    rollback: bool
    phase: Phase
    sentence: str
    started: bool
    url: str | None

    @property
    def context(self) -> str:
        """The name of the commit's status: one for each lane."""
        return f"dg/{self.service}/{self.environment}"

    @property
    def place(self) -> str:
        """The environment as hosts group them; services of one repository do not end each other's."""
        return f"{self.environment}/{self.service}"

    def line(self, limit: int) -> str:
        """The sentence in at most so many characters."""
        return plain(self.sentence, limit=limit)


def report(deployment: Deployment, branch: str, public_url: str | None) -> Report:
    """What to say; `branch` stands where nobody named a branch or tag, `public_url` starts the link."""
    phase = _phase(deployment)
    path = f"/v1/deployments/{deployment.id}"
    return Report(
        deployment=deployment.id,
        number=deployment.number,
        service=deployment.service,
        environment=deployment.environment.value,
        commit=deployment.commit_sha,
        ref=deployment.ref or branch,
        rollback=deployment.rollback_of is not None,
        phase=phase,
        sentence=_sentence(deployment, phase),
        started=deployment.started_at is not None,
        url=f"{public_url.rstrip('/')}{path}" if public_url else None,
    )


def _phase(deployment: Deployment) -> Phase:
    match deployment.status:
        case Status.PENDING:
            return Phase.WAITING
        case Status.BUILDING | Status.DEPLOYING:
            return Phase.RUNNING
        case Status.SUCCESS:
            return Phase.SUCCESS
        case Status.ROLLED_BACK:
            return Phase.ROLLED_BACK
        case _:
            return Phase.STOPPED if deployment.reason in _STOPPED else Phase.FAILED


def _sentence(deployment: Deployment, phase: Phase) -> str:
    name = f"#{deployment.number}"
    match phase:
        case Phase.WAITING:
            return f"{name} {deployment.hold or 'waits for its turn'}"
        case Phase.RUNNING:
            return f"{name} is {deployment.status.value}"
        case Phase.SUCCESS:
            return f"{name} runs"
        case Phase.ROLLED_BACK:
            return f"{name} was rolled back"
        case _:
            why = deployment.message or (deployment.reason.value if deployment.reason else "it failed")
            return f"{name} {why}"
