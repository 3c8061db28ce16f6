"""The catalogue of facts: everything that can happen in dg, frozen, past tense, ids and plain values only.

A fact's `type` on the wire is its class name in dotted form: `DeploymentCreated` is `deployment.created`.
Facts enter the ledger in the transaction that makes them true, and leave it by the bus, SSE and WebSocket.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class Fact:
    """Base of all facts. `about` names the field that holds the id of the object the fact is about."""

    about: ClassVar[str] = ""
    type: ClassVar[str] = "fact"

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls.type = (
            re.sub(r"(?<=[a-z])(?=[A-Z])", " ", cls.__name__).lower().replace(" ", ".", 1).replace(" ", "_")
        )

    def payload(self) -> dict[str, object]:
        """Field values without the unset ones, as they stand in the ledger."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @property
    def object(self) -> str:
        return str(getattr(self, self.about, "")) if self.about else ""


@dataclass(frozen=True, kw_only=True)
class DeploymentFact(Fact):
    """What every fact about a deployment carries."""

    about: ClassVar[str] = "deployment"

    deployment: str
    service: str
    environment: str
    number: int | None = None
    """What people call it; not in facts that are older than this field."""


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

    `receipt` is the SHA-256 of its receipt.
    """

    status: str
    reason: str | None = None
    message: str | None = None
    touched: bool = False
    duration: float = 0.0
    receipt: str | None = None


@dataclass(frozen=True, kw_only=True)
class DeploymentRolledBack(DeploymentFact):
    """Its effect was undone by the deployment `rolled_back_by`."""

    rolled_back_by: str


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
class LaneFact(Fact):
    """What every fact about a lane carries. The object is `service/environment`."""

    service: str
    environment: str

    @property
    def object(self) -> str:
        return f"{self.service}/{self.environment}"


@dataclass(frozen=True, kw_only=True)
class LaneLocked(LaneFact):
    """Nobody deploys there until `until` (microseconds) or until it is unlocked."""

    reason: str
    automatic: bool
    until: int


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
class EnvironmentUpdated(Fact):
    """An environment has a new version, or `restored` an older one or a `backup`; `changed` are keys."""

    about: ClassVar[str] = "environment"

    environment: str
    version: int
    changed: list[str]
    reason: str | None = None
    restored: int | None = None
    backup: str | None = None


@dataclass(frozen=True, kw_only=True)
class BackupFact(Fact):
    """What every fact about a backup carries; without an environment it is one of the whole home."""

    about: ClassVar[str] = "backup"

    backup: str
    environment: str | None = None


@dataclass(frozen=True, kw_only=True)
class BackupMade(BackupFact):
    """A backup was written and read back. It reaches up to the ledger's entry `head_seq`."""

    size: int
    sha256: str
    head_seq: int
    scheduled: bool


@dataclass(frozen=True, kw_only=True)
class BackupFailed(BackupFact):
    """A backup was not made, or could not be sent to where it is kept."""

    reason: str
    scheduled: bool


@dataclass(frozen=True, kw_only=True)
class BackupTested(BackupFact):
    """A backup was restored into a scratch home, and what came back was right."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class BackupTestFailed(BackupFact):
    """A backup could not be restored into a scratch home."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class BackupRemoved(BackupFact):
    """A scheduled backup was removed, as the settings say how many are kept."""


@dataclass(frozen=True, kw_only=True)
class SecretAged(Fact):
    """A secret was set `days` ago, which is longer than secrets should last; told once in each such time."""

    about: ClassVar[str] = "environment"

    environment: str
    name: str
    version: int
    days: int


@dataclass(frozen=True, kw_only=True)
class DriftFound(LaneFact):
    """What runs there is not what `deployment` brought: `found`, and not `version` at `commit`.

    `expired`: it was known, and may not be so any longer. Everybody should hear of it: `alert`.
    """

    deployment: str
    version: str
    commit: str
    found: str
    expired: bool | None = None
    alert: bool = True


@dataclass(frozen=True, kw_only=True)
class DriftResolved(LaneFact):
    """What runs there is what dg deployed: `found`; or nothing checks it any more."""

    found: str | None = None


@dataclass(frozen=True, kw_only=True)
class DriftAccepted(LaneFact):
    """Somebody lets it be that `found` runs there, until `until` (microseconds)."""

    found: str
    reason: str
    until: int


@dataclass(frozen=True, kw_only=True)
class DriftWithdrawn(LaneFact):
    """Somebody does not let the difference be any longer."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class EnvironmentHealthChanged(Fact):
    """A service is not any more what it was, by what `probe` found; `status` and `was` are the environment's.

    `because` is what the probe depends on, where that failed too. A status of the environment is one of the
    specification's; that of a service is also `unknown`.
    """

    about: ClassVar[str] = "environment"

    environment: str
    service: str
    status: str
    was: str
    service_status: str
    service_was: str
    probe: str | None = None
    message: str | None = None
    because: str | None = None
    deployment: str | None = None
    number: int | None = None
    """The deployment that had begun shortly before the service became worse."""


@dataclass(frozen=True, kw_only=True)
class KeyringRotated(Fact):
    """The newest key of the home's envelope sealed what older ones had sealed: `sealed` texts."""

    sealed: int


@dataclass(frozen=True, kw_only=True)
class TokenCreated(Fact):
    """A token was issued. Its name stays out of the ledger: it may be a person's."""

    about: ClassVar[str] = "token"

    token: str
    role: str
    expires_at: int
    environment: str | None = None
    service: str | None = None
    person: str | None = None


@dataclass(frozen=True, kw_only=True)
class RightsFact(Fact):
    """What every fact carries that changes what somebody may do: who is connected is looked at again."""


@dataclass(frozen=True, kw_only=True)
class TokenRevoked(RightsFact):
    """A token no longer opens anything."""

    about: ClassVar[str] = "token"

    token: str


@dataclass(frozen=True, kw_only=True)
class KeyFact(RightsFact):
    """What every fact about an API key carries; where all its scopes are in one place, that place."""

    about: ClassVar[str] = "key"

    key: str
    environment: str | None = None
    service: str | None = None


@dataclass(frozen=True, kw_only=True)
class KeyCreated(KeyFact):
    """An API key was made. `begins` is the public part of its secret; its name may be a person's."""

    begins: str
    scopes: list[str]
    addresses: list[str]
    expires_at: int


@dataclass(frozen=True, kw_only=True)
class KeyRotated(KeyFact):
    """An API key got a new secret; those before it open nothing after `old_until`."""

    begins: str
    expires_at: int
    old_until: int


@dataclass(frozen=True, kw_only=True)
class KeyMisused(KeyFact):
    """A key that is good was shown from where it may not be used; `count` tries within one minute.

    Everybody should hear of it, since it may be stolen: `alert`.
    """

    count: int
    alert: bool = True


@dataclass(frozen=True, kw_only=True)
class KeyRevoked(KeyFact):
    """An API key opens nothing any more."""


@dataclass(frozen=True, kw_only=True)
class RoleCreated(RightsFact):
    """A role of this home's own was made. Its description stays out of the ledger."""

    about: ClassVar[str] = "role"

    role: str
    actions: list[str]


@dataclass(frozen=True, kw_only=True)
class RoleUpdated(RightsFact):
    """A role may do other things now, or is described in other words."""

    about: ClassVar[str] = "role"

    role: str
    added: list[str]
    removed: list[str]


@dataclass(frozen=True, kw_only=True)
class RoleDeleted(RightsFact):
    """A role that nobody held any more was removed."""

    about: ClassVar[str] = "role"

    role: str


@dataclass(frozen=True, kw_only=True)
class BindingFact(RightsFact):
    """What every fact about a binding carries: a role, to whom, and where; None is everywhere."""

    about: ClassVar[str] = "binding"

    binding: str
    subject: str
    role: str
    environment: str | None = None
    service: str | None = None


@dataclass(frozen=True, kw_only=True)
class BindingCreated(BindingFact):
    """A role was given, until `expires_at` (microseconds) or until it is taken back."""

    expires_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class BindingRevoked(BindingFact):
    """A role was taken back."""


@dataclass(frozen=True, kw_only=True)
class PersonAdded(Fact):
    """Somebody is known from now on who may have sessions and tokens. The name stays out of the ledger."""

    about: ClassVar[str] = "person"

    person: str


@dataclass(frozen=True, kw_only=True)
class LoginApproved(Fact):
    """A program that asked is let in as `person`, with these grants such as `operator on shop/staging`.

    `approved_in` is the session of whoever approved it.
    """

    about: ClassVar[str] = "login"

    login: str
    person: str
    grants: list[str]
    approved_in: str | None = None


@dataclass(frozen=True, kw_only=True)
class LoginDenied(Fact):
    """A person turned a program away that asked to be let in."""

    about: ClassVar[str] = "login"

    login: str


@dataclass(frozen=True, kw_only=True)
class SessionStarted(Fact):
    """A program that was let in by `login` got its first tokens."""

    about: ClassVar[str] = "session"

    session: str
    person: str
    login: str
    expires_at: int


@dataclass(frozen=True, kw_only=True)
class SessionRevoked(Fact):
    """A session no longer opens anything: `why` is revoked, or reused for one of a family that was."""

    about: ClassVar[str] = "session"

    session: str
    person: str
    why: str


@dataclass(frozen=True, kw_only=True)
class SessionReuseDetected(Fact):
    """A refresh token, or the code that began a session, was shown again after it had been used up: somebody
    has a copy. The session is revoked with all that were approved in it. Everybody should hear: `alert`.
    """

    about: ClassVar[str] = "session"

    session: str
    person: str
    alert: bool = True


@dataclass(frozen=True, kw_only=True)
class SlackFact(Fact):
    """What every fact about somebody in Slack carries. Who that is there stays out of the ledger."""

    about: ClassVar[str] = "link"

    link: str
    person: str


@dataclass(frozen=True, kw_only=True)
class SlackLinked(SlackFact):
    """Somebody said which account in Slack is theirs: what it asks for is asked by `person`."""


@dataclass(frozen=True, kw_only=True)
class SlackUnlinked(SlackFact):
    """An account in Slack is nobody's any more."""


@dataclass(frozen=True, kw_only=True)
class SlackChannelLost(Fact):
    """Nothing can be said in a channel any more, until somebody mends it: `alert`."""

    about: ClassVar[str] = "channel"

    channel: str
    reason: str
    alert: bool = True


@dataclass(frozen=True, kw_only=True)
class WebhookFact(Fact):
    """What every fact about a webhook carries; its address stays out, which may be a secret."""

    about: ClassVar[str] = "webhook"

    webhook: str
    environment: str | None = None
    service: str | None = None


@dataclass(frozen=True, kw_only=True)
class WebhookCreated(WebhookFact):
    """Events are sent to a receiver at `host` from now on."""

    host: str


@dataclass(frozen=True, kw_only=True)
class WebhookUpdated(WebhookFact):
    """A webhook was changed; who changed it is the one whose reach counts from now on."""

    changed: list[str]


@dataclass(frozen=True, kw_only=True)
class WebhookRotated(WebhookFact):
    """A webhook got a new secret; the one before it signs too until `until` (microseconds)."""

    until: int


@dataclass(frozen=True, kw_only=True)
class WebhookDisabled(WebhookFact):
    """Nothing is sent there until somebody enables it. Everybody should hear of it: `alert`."""

    reason: str
    alert: bool = True


@dataclass(frozen=True, kw_only=True)
class WebhookEnabled(WebhookFact):
    """A person let events be sent there again."""


@dataclass(frozen=True, kw_only=True)
class WebhookDeleted(WebhookFact):
    """Nothing is sent there any more; its secret and its deliveries are gone."""


@dataclass(frozen=True, kw_only=True)
class AccessDenied(Fact):
    """A known caller tried what its role does not allow; `count` tries within one minute."""

    action: str
    count: int
    service: str | None = None
    environment: str | None = None


@dataclass(frozen=True, kw_only=True)
class AuthenticationFailed(Fact):
    """Nobody in particular presented bad credentials; `count` tries within one minute."""

    count: int


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


@dataclass(frozen=True, kw_only=True)
class ServerStarted(Fact):
    """A dg server opened this home."""

    version: str


@dataclass(frozen=True, kw_only=True)
class HomeRestored(Fact):
    """The home was restored from a backup made at `made_at` (microseconds): what came after that is lost.

    The ledger reached up to the entry `head_seq` when the backup was made.
    """

    made_at: int
    head_seq: int


@dataclass(frozen=True, kw_only=True)
class LedgerAnchored(Fact):
    """The head of the ledger was written outside the database."""

    head_seq: int
    head_hash: str


@dataclass(frozen=True, kw_only=True)
class RecordsPruned(Fact):
    """Retention removed old records; `removed` counts them by kind."""

    removed: dict[str, int]


def changes_rights(type_: str) -> bool:
    """Whether a fact of this type changes what somebody may do."""
    return type_ in _rights_facts()


@cache
def _rights_facts() -> frozenset[str]:
    found, ahead = set(), [RightsFact]
    while ahead:
        kind = ahead.pop()
        found.add(kind.type)
        ahead += kind.__subclasses__()
    return frozenset(found)


def catalogue() -> frozenset[str]:
    """The types of everything that can happen."""
    return frozenset(_types(Fact))


def _types(kind: type[Fact]) -> Iterator[str]:
    below = kind.__subclasses__()
    if not below:
        yield kind.type
    for each in below:
        yield from _types(each)
