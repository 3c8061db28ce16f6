"""Everything one can do in dg, and who may: the roles, the one table of actions, and principals."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dg.core.types import Environment


class Role(StrEnum):
    """The roles that are given. Roles are sets of actions, not steps of a ladder; a home may have more."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


class Action(StrEnum):
    """Each thing that can be done. Every public service method checks exactly one of these."""

    DEPLOYMENT_READ = "deployment:read"
    DEPLOYMENT_DIFF = "deployment:diff"
    DEPLOYMENT_CREATE = "deployment:create"
    DEPLOYMENT_UPDATE = "deployment:update"
    DEPLOYMENT_CANCEL = "deployment:cancel"
    DEPLOYMENT_ROLLBACK = "deployment:rollback"
    DEPLOYMENT_RETRY = "deployment:retry"
    DEPLOYMENT_ABANDON = "deployment:abandon"
    DEPLOYMENT_APPROVE = "deployment:approve"
    DEPLOYMENT_REJECT = "deployment:reject"
    DEPLOYMENT_OVERRIDE = "deployment:override"
    LANE_READ = "lane:read"
    LANE_LOCK = "lane:lock"
    LANE_UNLOCK = "lane:unlock"
    LANE_FREEZE = "lane:freeze"
    LANE_THAW = "lane:thaw"
    LANE_BLOCK = "lane:block"
    LANE_UNBLOCK = "lane:unblock"
    PIPELINE_READ = "pipeline:read"
    PIPELINE_WRITE = "pipeline:write"
    ENVIRONMENT_READ = "environment:read"
    ENVIRONMENT_UPDATE = "environment:update"
    SECRET_UPDATE = "secret:update"  # noqa: S105
    DRIFT_ACCEPT = "drift:accept"
    BACKUP_READ = "backup:read"
    BACKUP_CREATE = "backup:create"
    BACKUP_RESTORE = "backup:restore"
    PROBE_TEST = "probe:test"
    PROBE_BEAT = "probe:beat"
    EVENT_READ = "event:read"
    AUDIT_READ = "audit:read"
    AUDIT_VERIFY = "audit:verify"
    TOKEN_READ = "token:read"  # noqa: S105
    TOKEN_CREATE = "token:create"  # noqa: S105
    TOKEN_REVOKE = "token:revoke"  # noqa: S105
    KEY_READ = "key:read"
    KEY_CREATE = "key:create"
    KEY_ROTATE = "key:rotate"
    KEY_REVOKE = "key:revoke"
    ROLE_READ = "role:read"
    ROLE_CREATE = "role:create"
    ROLE_UPDATE = "role:update"
    ROLE_DELETE = "role:delete"
    BINDING_READ = "binding:read"
    BINDING_CREATE = "binding:create"
    BINDING_REVOKE = "binding:revoke"
    SESSION_READ = "session:read"
    SESSION_APPROVE = "session:approve"
    SESSION_REVOKE = "session:revoke"
    SLACK_READ = "slack:read"
    SLACK_LINK = "slack:link"
    SLACK_UNLINK = "slack:unlink"
    HANDOVER_POST = "handover:post"
    CHANNEL_READ = "channel:read"
    CHANNEL_MUTE = "channel:mute"
    CHANNEL_SUBSCRIBE = "channel:subscribe"
    WEBHOOK_READ = "webhook:read"
    WEBHOOK_CREATE = "webhook:create"
    WEBHOOK_UPDATE = "webhook:update"
    WEBHOOK_TEST = "webhook:test"
    WEBHOOK_DELETE = "webhook:delete"
    SYSTEM_READ = "system:read"


_V, _O, _P, _A = Role.VIEWER, Role.OPERATOR, Role.APPROVER, Role.ADMIN

ACTIONS: dict[Action, frozenset[Role]] = {
    Action.DEPLOYMENT_READ: frozenset({_V, _O, _P, _A}),
    Action.DEPLOYMENT_DIFF: frozenset({_O, _P, _A}),
    Action.DEPLOYMENT_CREATE: frozenset({_O, _A}),
    Action.DEPLOYMENT_UPDATE: frozenset({_O, _A}),
    Action.DEPLOYMENT_CANCEL: frozenset({_O, _A}),
    Action.DEPLOYMENT_ROLLBACK: frozenset({_O, _P, _A}),
    Action.DEPLOYMENT_RETRY: frozenset({_O, _A}),
    Action.DEPLOYMENT_ABANDON: frozenset({_P, _A}),
    Action.DEPLOYMENT_APPROVE: frozenset({_O, _P, _A}),
    Action.DEPLOYMENT_REJECT: frozenset({_O, _P, _A}),
    Action.DEPLOYMENT_OVERRIDE: frozenset({_O, _P, _A}),
    Action.LANE_READ: frozenset({_V, _O, _P, _A}),
    Action.LANE_LOCK: frozenset({_O, _P, _A}),
    Action.LANE_UNLOCK: frozenset({_O, _P, _A}),
    Action.LANE_FREEZE: frozenset({_P, _A}),
    Action.LANE_THAW: frozenset({_P, _A}),
    Action.LANE_BLOCK: frozenset({_O, _P, _A}),
    Action.LANE_UNBLOCK: frozenset({_P, _A}),
    Action.PIPELINE_READ: frozenset({_V, _O, _P, _A}),
    Action.PIPELINE_WRITE: frozenset({_A}),
    Action.ENVIRONMENT_READ: frozenset({_V, _O, _P, _A}),
    Action.ENVIRONMENT_UPDATE: frozenset({_A}),
    Action.SECRET_UPDATE: frozenset({_A}),
    Action.DRIFT_ACCEPT: frozenset({_P, _A}),
    Action.BACKUP_READ: frozenset({_V, _O, _P, _A}),
    Action.BACKUP_CREATE: frozenset({_O, _A}),
    Action.BACKUP_RESTORE: frozenset({_A}),
    Action.PROBE_TEST: frozenset({_O, _A}),
    Action.PROBE_BEAT: frozenset({_O, _A}),
    Action.EVENT_READ: frozenset({_V, _O, _P, _A}),
    Action.AUDIT_READ: frozenset({_A}),
    Action.AUDIT_VERIFY: frozenset({_V, _O, _P, _A}),
    Action.TOKEN_READ: frozenset({_A}),
    Action.TOKEN_CREATE: frozenset({_A}),
    Action.TOKEN_REVOKE: frozenset({_A}),
    Action.KEY_READ: frozenset({_A}),
    Action.KEY_CREATE: frozenset({_A}),
    Action.KEY_ROTATE: frozenset({_A}),
    Action.KEY_REVOKE: frozenset({_A}),
    Action.ROLE_READ: frozenset({_V, _O, _P, _A}),
    Action.ROLE_CREATE: frozenset({_A}),
    Action.ROLE_UPDATE: frozenset({_A}),
    Action.ROLE_DELETE: frozenset({_A}),
    Action.BINDING_READ: frozenset({_A}),
    Action.BINDING_CREATE: frozenset({_A}),
    Action.BINDING_REVOKE: frozenset({_A}),
    Action.SESSION_READ: frozenset({_A}),
    Action.SESSION_APPROVE: frozenset({_A}),
    Action.SESSION_REVOKE: frozenset({_A}),
    Action.SLACK_READ: frozenset({_A}),
    Action.SLACK_LINK: frozenset({_V, _O, _P, _A}),
    Action.SLACK_UNLINK: frozenset({_A}),
    Action.HANDOVER_POST: frozenset({_O, _P, _A}),
    Action.CHANNEL_READ: frozenset({_V, _O, _P, _A}),
    Action.CHANNEL_MUTE: frozenset({_O, _P, _A}),
    Action.CHANNEL_SUBSCRIBE: frozenset({_O, _P, _A}),
    Action.WEBHOOK_READ: frozenset({_O, _A}),
    Action.WEBHOOK_CREATE: frozenset({_O, _A}),
    Action.WEBHOOK_UPDATE: frozenset({_O, _A}),
    Action.WEBHOOK_TEST: frozenset({_O, _A}),
    Action.WEBHOOK_DELETE: frozenset({_O, _A}),
    Action.SYSTEM_READ: frozenset({_V, _O, _P, _A}),
}
"""The one table: an action that is not here is allowed to nobody. Whose approval or override counts is said
by an environment's demands: by default the approval of approvers and admins, and nobody's override."""


GIVEN: dict[str, frozenset[Action]] = {
    role: frozenset(action for action, roles in ACTIONS.items() if role in roles) for role in Role
}
"""What each given role may do: the one table read by role."""


PERSONAL = frozenset(
    action
    for action in Action
    for kind, _, what in [action.partition(":")]
    if kind in {"token", "key", "session", "role", "binding", "slack"} and what != "read"
) | {Action.CHANNEL_SUBSCRIBE, Action.WEBHOOK_CREATE, Action.WEBHOOK_UPDATE}
"""What nobody does in another's name: it decides who may come in or is told, and lasts when the other
has left."""
PERSONAL_IN_PRODUCTION = frozenset(
    {
        Action.DEPLOYMENT_APPROVE,
        Action.DEPLOYMENT_OVERRIDE,
        Action.ENVIRONMENT_UPDATE,
        Action.SECRET_UPDATE,
        Action.BACKUP_RESTORE,
    }
)
"""What nobody does there in another's name: the decisions that stand with a person's name, and what is
demanded of deployments or given to them afterwards."""


def is_personal(action: Action, environment: str | None) -> bool:
    """Whether `action` takes somebody themselves in that environment; None is all of them."""
    return action in PERSONAL or (
        action in PERSONAL_IN_PRODUCTION and environment in (None, Environment.PRODUCTION)
    )


_KNOWN = tuple(Action)


class Grant(BaseModel):
    """A role, for one environment and one service or for all of them (`None`).

    `actions` are what the role may do when the grant is read; those of a given role are filled in, and
    `whoami` tells those of any other. `binding`
    is the id of the binding that it comes from, until `expires_at` (microseconds); a credential's own has
    neither.
    """

    model_config = ConfigDict(frozen=True)

    role: str
    actions: frozenset[Action] = Field(default=frozenset(), exclude=True, repr=False)
    environment: Environment | None = None
    service: str | None = None
    binding: str | None = None
    expires_at: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if "actions" not in data and data.get("role") in GIVEN:
            return {**data, "role": str(data["role"]), "actions": GIVEN[data["role"]]}
        if isinstance(told := data.get("actions"), list):
            # A newer server knows more of them.
            return {**data, "actions": [each for each in told if each in _KNOWN]}
        return data

    @property
    def spoken(self) -> str:
        """`operator on shop/staging`; the role alone where it is not narrowed."""
        scope = "/".join(filter(None, (self.service, self.environment)))
        return f"{self.role} on {scope}" if scope else self.role

    def __str__(self) -> str:
        return f"{self.spoken} by the binding {self.binding}" if self.binding else self.spoken

    def allows(self, action: Action, environment: str | None, service: str | None) -> bool:
        """True when the role has `action` and this grant reaches the object.

        An object without an environment or service (`None`) is reached only by a grant that is not narrowed
        there: a token for staging cannot freeze everything.
        """
        return (
            action in self.actions
            and self.environment in (None, environment)
            and self.service in (None, service)
        )


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from: the peer's address, behind trusted proxies its client's; and its id."""

    address: str = ""
    request_id: str = ""


NOWHERE = Origin()
"""Where dg's own work comes from, and what was not told."""

Method = Literal["token", "key", "session", "clerk", "slack", "webhook", "local", "system"]
"""How somebody proved who they are."""


class Principal(BaseModel):
    """Who is asking: the first argument of every service method.

    `id` is a reference without meaning (it is what the ledger keeps); `name` is what people read. It is one
    for all sessions and tokens of a person; `session` is the one they come with, good until `expires_at`.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    kind: Literal["person", "service", "system"] = "person"
    method: Method = "token"
    grants: tuple[Grant, ...] = ()
    groups: tuple[str, ...] = Field(default=(), exclude=True, repr=False)
    """What else bindings know them by: `clerk-role:admin`, `slack-group:S0123`."""
    impersonated_by: str | None = None
    """The id of who acts in their name, where that is somebody else."""
    origin: Origin = Field(default=NOWHERE, exclude=True, repr=False)
    session: str | None = None
    expires_at: int | None = None

    @property
    def rights(self) -> str:
        """What they may, in a few words for the record: roles, where, and by which bindings."""
        return "; ".join(dict.fromkeys(map(str, self.grants))) or "no role"

    def may(self, action: Action, environment: str | None = None, service: str | None = None) -> bool:
        if self.impersonated_by is not None and is_personal(action, environment):
            return False
        for grant in self.grants:  # noqa: SIM110 - asked at every read, and a generator costs more than it does
            if grant.allows(action, environment, service):
                return True
        return False

    def reaches(self, action: Action) -> bool:
        """True when some object exists for which `action` is allowed: lists are filtered, not refused."""
        return any(action in grant.actions for grant in self.grants)


SYSTEM = Principal(id="system", name="dg", kind="system", method="system", grants=(Grant(role=Role.ADMIN),))
"""dg itself: what the dispatcher and the jobs act as."""


OWNER = "local"
"""The principal id of the owner of the machine that the server runs on, who has no token of the table."""


class DefinedRole(BaseModel):
    """A role and what it may do. Those that are given have no maker; times are in microseconds.

    `actions` are members of Action here; a client may meet some that it does not know yet.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    description: str
    actions: tuple[str, ...]
    given: bool = False
    created_at: int | None = None
    created_by: str | None = None
    updated_at: int | None = None


class CreateRole(BaseModel):
    """A role that somebody wants. Actions are checked by the service, which names those there are."""

    model_config = ConfigDict(frozen=True)

    name: str
    description: str = ""
    actions: tuple[str, ...]


class UpdateRole(BaseModel):
    """What is to change of a role: actions that it gets and loses, its description. What is None stays."""

    model_config = ConfigDict(frozen=True)

    description: str | None = None
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class Binding(BaseModel):
    """A role given to somebody, for one environment and one service or for all, until `expires_at`.

    `subject` is a principal's id, or all who come with a group: `clerk-role:admin`, `slack-group:S0123`.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    subject: str
    role: str
    environment: Environment | None = None
    service: str | None = None
    created_at: int
    created_by: str
    expires_at: int | None = None
    revoked_at: int | None = None

    def stands(self, now: int) -> bool:
        """Whether it gives anything at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class BindingPage(BaseModel):
    """Some bindings, and where the next ones begin; None behind the last."""

    model_config = ConfigDict(frozen=True)

    items: tuple[Binding, ...]
    next_cursor: str | None = None


class CreateBinding(BaseModel):
    """A role that is to be given. Raises nothing by itself: the service checks each field."""

    model_config = ConfigDict(frozen=True)

    subject: str
    role: str
    environment: str | None = None
    service: str | None = None
    expires_at: int | None = None


class Decision(BaseModel):
    """Whether somebody may do an action to an object, by which grant, or for want of what: `why` says it."""

    model_config = ConfigDict(frozen=True)

    principal: str
    name: str
    action: str
    environment: Environment | None = None
    service: str | None = None
    allowed: bool
    why: str
    grant: Grant | None = None
    roles: tuple[str, ...]
    """The roles that have the action, custom ones too."""


class Token(BaseModel):
    """A token as it is listed: never the secret itself. Times are microseconds since the epoch."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    kind: Literal["person", "service"]
    grant: Grant
    created_at: int
    created_by: str
    expires_at: int
    revoked_at: int | None = None
    last_used_at: int | None = None
    person: str | None = None
    person_name: str | None = None

    def principal(self, origin: Origin = NOWHERE) -> Principal:
        """Who uses this token, from `origin`: the person whose it is, where that is known."""
        return Principal(
            id=self.person or self.id,
            name=self.person_name or self.name,
            kind=self.kind,
            grants=(self.grant,),
            origin=origin,
            expires_at=self.expires_at,
        )


class IssuedToken(BaseModel):
    """A new token together with its secret, which is shown once and not stored."""

    model_config = ConfigDict(frozen=True)

    token: Token
    secret: str


class Scope(BaseModel):
    """What an API key may: all that a role has or one action, for one environment and service or for all."""

    model_config = ConfigDict(frozen=True)

    role: str | None = None
    action: str | None = None
    environment: Environment | None = None
    service: str | None = None

    def __str__(self) -> str:
        place = "/".join(filter(None, (self.service, self.environment)))
        what = self.role or self.action or "nothing"
        return f"{what} on {place}" if place else what

    def grant(self) -> Grant:
        """What it gives."""
        if self.action is None:
            return Grant(role=str(self.role), environment=self.environment, service=self.service)
        actions = frozenset(action for action in Action if action == self.action)
        return Grant(role=self.action, actions=actions, environment=self.environment, service=self.service)


class KeySecret(BaseModel):
    """One secret of a key: how it begins, which may be shown, and until when it opens anything."""

    model_config = ConfigDict(frozen=True)

    begins: str
    created_at: int
    until: int


class ApiKey(BaseModel):
    """An API key as it is listed: never a secret itself. Times are microseconds since the epoch.

    `addresses` are the networks from which it opens anything, none for all; of `secrets`, the oldest first,
    the last one ends with the key.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    scopes: tuple[Scope, ...]
    addresses: tuple[str, ...] = ()
    created_at: int
    created_by: str
    expires_at: int
    revoked_at: int | None = None
    last_used_at: int | None = None
    secrets: tuple[KeySecret, ...]

    def principal(self) -> Principal:
        """The service account whose key it is."""
        grants = tuple(scope.grant() for scope in self.scopes)
        return Principal(id=self.id, name=self.name, kind="service", method="key", grants=grants)


class IssuedKey(BaseModel):
    """A key together with its new secret, which is shown once and not stored."""

    model_config = ConfigDict(frozen=True)

    key: ApiKey
    secret: str
