"""The catalogue of facts: everything that can happen in dg, frozen, past tense, ids and plain values only.

A fact's `type` on the wire is its class name in dotted form: `DeploymentCreated` is `deployment.created`.
Facts enter the ledger in the transaction that makes them true, and leave it by the bus, SSE and WebSocket.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from dg.core.events.access import (
    AccessDenied,
    AuthenticationFailed,
    BindingCreated,
    BindingFact,
    BindingRevoked,
    KeyCreated,
    KeyFact,
    KeyMisused,
    KeyRevoked,
    KeyRotated,
    LoginApproved,
    LoginDenied,
    PersonAdded,
    RoleCreated,
    RoleDeleted,
    RoleUpdated,
    SessionReuseDetected,
    SessionRevoked,
    SessionStarted,
    SlackFact,
    SlackLinked,
    SlackUnlinked,
    TokenCreated,
    TokenRevoked,
)
from dg.core.events.deployments import (
    ApprovalKept,
    ApprovalVoided,
    DeploymentAbandoned,
    DeploymentAdopted,
    DeploymentAdvanced,
    DeploymentApproved,
    DeploymentCancelling,
    DeploymentCreated,
    DeploymentFinished,
    DeploymentRejected,
    DeploymentRolledBack,
    DeploymentStarted,
    DeploymentUpdated,
    FreezeLifted,
    FreezeSet,
    GateOverridden,
    LaneLocked,
    LaneOpened,
    LaneUnlocked,
    NoticeHandled,
    NoticeReceived,
    PipelineRegistered,
    RollbackDeclined,
    StepFinished,
    StepStarted,
    VersionBlocked,
    VersionUnblocked,
)
from dg.core.events.environments import (
    DriftAccepted,
    DriftFound,
    DriftResolved,
    DriftWithdrawn,
    EnvironmentHealthChanged,
    EnvironmentUpdated,
    SecretAged,
)
from dg.core.events.fact import (
    DeploymentFact,
    Fact,
    LaneFact,
    RightsFact,
)
from dg.core.events.outside import (
    SlackChannelLost,
    WebhookCreated,
    WebhookDeleted,
    WebhookDisabled,
    WebhookEnabled,
    WebhookFact,
    WebhookRotated,
    WebhookUpdated,
)
from dg.core.events.server import (
    BackupFact,
    BackupFailed,
    BackupMade,
    BackupRemoved,
    BackupTested,
    BackupTestFailed,
    HomeRestored,
    KeyringRotated,
    LedgerAnchored,
    RecordsPruned,
    ServerStarted,
)

__all__ = [
    "AccessDenied",
    "ApprovalKept",
    "ApprovalVoided",
    "AuthenticationFailed",
    "BackupFact",
    "BackupFailed",
    "BackupMade",
    "BackupRemoved",
    "BackupTestFailed",
    "BackupTested",
    "BindingCreated",
    "BindingFact",
    "BindingRevoked",
    "DeploymentAbandoned",
    "DeploymentAdopted",
    "DeploymentAdvanced",
    "DeploymentApproved",
    "DeploymentCancelling",
    "DeploymentCreated",
    "DeploymentFact",
    "DeploymentFinished",
    "DeploymentRejected",
    "DeploymentRolledBack",
    "DeploymentStarted",
    "DeploymentUpdated",
    "DriftAccepted",
    "DriftFound",
    "DriftResolved",
    "DriftWithdrawn",
    "EnvironmentHealthChanged",
    "EnvironmentUpdated",
    "Fact",
    "FreezeLifted",
    "FreezeSet",
    "GateOverridden",
    "HomeRestored",
    "KeyCreated",
    "KeyFact",
    "KeyMisused",
    "KeyRevoked",
    "KeyRotated",
    "KeyringRotated",
    "LaneFact",
    "LaneLocked",
    "LaneOpened",
    "LaneUnlocked",
    "LedgerAnchored",
    "LoginApproved",
    "LoginDenied",
    "NoticeHandled",
    "NoticeReceived",
    "PersonAdded",
    "PipelineRegistered",
    "RecordsPruned",
    "RightsFact",
    "RoleCreated",
    "RoleDeleted",
    "RoleUpdated",
    "RollbackDeclined",
    "SecretAged",
    "ServerStarted",
    "SessionReuseDetected",
    "SessionRevoked",
    "SessionStarted",
    "SlackChannelLost",
    "SlackFact",
    "SlackLinked",
    "SlackUnlinked",
    "StepFinished",
    "StepStarted",
    "TokenCreated",
    "TokenRevoked",
    "VersionBlocked",
    "VersionUnblocked",
    "WebhookCreated",
    "WebhookDeleted",
    "WebhookDisabled",
    "WebhookEnabled",
    "WebhookFact",
    "WebhookRotated",
    "WebhookUpdated",
    "catalogue",
    "changes_rights",
]


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
