"""One of everything that the dashboard can change, made without a server."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

import dg.tui
from dg.core.access.accounts import SlackLink
from dg.core.access.models import ApiKey, Binding, DefinedRole, Grant, KeySecret, Principal, Scope, Token
from dg.core.access.sessions import Session
from dg.core.backup.models import BackupRecord
from dg.core.deployments.models import Block
from dg.core.drift.models import Acceptance, DriftStatus, ServiceDrift
from dg.core.environments.models import EnvironmentState, SecretState, Version
from dg.core.health.models import Reading, Status
from dg.core.types import Environment
from dg.core.webhooks.models import Webhook
from dg.tui import handover
from dg.tui.access import issuing, logins, revoking, roles, webhooks
from dg.tui.actions import Act
from dg.tui.deployments import deciding, deploying, lanes
from dg.tui.environments import editing, probing, upkeep
from dg.tui.environments.drawing.document import Entry
from dg.tui.views import DeploymentView, LaneView

MOMENT = 1_790_000_000_000_000
LATER = MOMENT + 3_600_000_000
STAGING = Environment.STAGING
ID = "01936b2e-7c00-7000-8000-00000000000a"

TYPED = {
    "service": "web",
    "environment": "staging",
    "ref": "main",
    "note": "a word",
    "reason": "it's hot",
    "lasting": "2h",
    "version": "1.4.2",
    "gates": "approvals; window",
    "key": "config.workers",
    "value": "8",
    "name": "aname",
    "kind": "http",
    "settings": "url=https://up.example.com interval=30s 'contains=all good'",
    "failed": "the disk is full",
    "may": "operator lane:lock",
    "environments": "staging production",
    "services": "web",
    "from": "192.0.2.0/24",
    "overlap": "1h",
    "role": "operator",
    "of": "ana",
    "subject": "clerk-role:admin",
    "until": "2h",
    "actions": "deployment:read lane:lock",
    "description": "one line",
    "code": "BCDF-GHJK",
    "channel": "C0123",
    "person": "ana",
    "roles": "viewer operator",
    "url": "https://hooks.example.org/dg",
    "events": "deployment.* lane.locked",
    "filter": "env=production",
}
"""Something for every field that there is."""


def deployment(**others: Any) -> DeploymentView:
    known = {
        "id": ID,
        "number": 7,
        "service": "web",
        "environment": "staging",
        "kind": "deploy",
        "status": "pending",
        "state": "pending",
        "stage": "",
        "version": "1.4.2",
        "sha": "c0ffee" * 6 + "c0ff",
        "by": "ana",
        "created_at": MOMENT,
        "hold": "it waits for an approval",
        "content": "f" * 64,
    }
    return DeploymentView(**{**known, **others})


def state(**others: Any) -> EnvironmentState:
    found = {
        "name": STAGING,
        "domain": "a.example.com",
        "config": {"workers": 4},
        "secrets": {
            "stripe_key": SecretState(version=1, fingerprint="f", changed_at=MOMENT, changed_by="ana")
        },
        "targets": {"hosts": ("web-1",)},
        "links": {},
        "probes": {"db": {"kind": "tcp", "service": "db", "host": "db-1", "port": 5432}},
        "version": 3,
    }
    return EnvironmentState.model_validate({**found, **others})


def reading(**others: Any) -> Reading:
    found: dict[str, Any] = {"name": "db", "kind": "tcp", "service": "db", "status": Status.HEALTHY}
    return Reading(**{**found, "severity": "critical", **others})


def lane(**others: Any) -> LaneView:
    return LaneView(**{"service": "web", "environment": "staging", "state": "open", "sentence": "", **others})


GRANT = Grant(role="viewer")
SESSION = Session(
    id=ID,
    person="p-1",
    name="ana",
    host="laptop",
    address="192.0.2.7",
    grants=(GRANT,),
    approved_by="p-0",
    created_at=MOMENT,
    refreshed_at=MOMENT,
    idle_at=LATER,
    expires_at=LATER,
)
KEY = ApiKey(
    id=ID,
    name="ci-key",
    scopes=(Scope(role="operator"),),
    addresses=(),
    created_at=MOMENT,
    created_by="p-0",
    expires_at=LATER,
    secrets=(KeySecret(begins="dgk_abc", created_at=MOMENT, until=LATER),),
)
TOKEN = Token(
    id=ID, name="laptop", kind="person", grant=GRANT, created_at=MOMENT, created_by="p-0", expires_at=LATER
)
BINDING = Binding(id=ID, subject="p-1", role="operator", created_at=MOMENT, created_by="p-0")
ROLE = DefinedRole(name="releaser", description="who releases", actions=("deployment:read",))
WEBHOOK = Webhook(
    id=ID,
    url="https://hooks.example.com/a",
    events=("*",),
    owner="p-0",
    created_at=MOMENT,
    updated_at=MOMENT,
)
LINK = SlackLink(id=ID, team="T1", user="U1", name="ana", person="p-1", linked_at=MOMENT)
BACKUP = BackupRecord(id="b", at=MOMENT, by="a", file="b.dgb", size=1, sha256="0", head_seq=1)
BLOCK = Block(
    service="web",
    environment=STAGING,
    commit_sha="c0ffee" * 6 + "c0ff",
    version="1.4.2",
    reason="x",
    at=MOMENT,
)
PRINCIPAL = Principal(id="p-1", name="ana", grants=(GRANT,), session=ID)


def drift(status: DriftStatus = DriftStatus.DRIFTED) -> ServiceDrift:
    accepted = Acceptance(reason="a hotfix", by="p-0", at=MOMENT, until=LATER)
    return ServiceDrift(
        service="web", environment=STAGING, status=status, sentence="it runs 1.4.1", acceptance=accepted
    )


def every_act() -> dict[str, list[Act]]:
    """Every act, by the function that makes it, in each of its forms."""
    hooks, older = WEBHOOK.model_copy(update={"enabled": False}), Version(version=2, at=1, by="a", changed=())
    return {
        "deployments.deploying.deploy": [
            deploying.deploy("web", "staging"),
            deploying.deploy("web", "production", "main"),
        ],
        "deployments.deploying.roll_back": [
            deploying.roll_back("web", "staging"),
            deploying.roll_back("web", "production", target=ID, reason="it eats orders"),
        ],
        "deployments.deciding.approve": [
            deciding.approve(deployment()),
            deciding.approve(deployment(), "it is fine"),
        ],
        "deployments.deciding.reject": [deciding.reject(deployment())],
        "deployments.deciding.cancel": [deciding.cancel(deployment())],
        "deployments.deciding.retry": [
            deciding.retry(deployment(status="failed")),
            deciding.retry(deployment(status="failed"), step="smoke", note="the quota was raised"),
        ],
        "deployments.lanes.lock": [lanes.lock(lane())],
        "deployments.lanes.unlock": [lanes.unlock(lane(state="locked")), lanes.unlock(lane(freeze=ID))],
        "deployments.lanes.freeze": [
            lanes.freeze("staging"),
            lanes.freeze("production", "web", lasting="2h", reason="a fair"),
            lanes.freeze(""),
        ],
        "deployments.lanes.thaw": [lanes.thaw(ID), lanes.thaw()],
        "handover.post": [handover.post("a quiet shift")],
        "deployments.deciding.override": [deciding.override(deployment())],
        "deployments.deciding.abandon": [deciding.abandon(deployment(cancelling=True))],
        "deployments.lanes.block": [lanes.block("web", "staging", "1.4.2")],
        "deployments.lanes.unblock": [lanes.unblock(BLOCK)],
        "environments.editing.edit": [
            editing.edit(state()),
            *(
                editing.edit(state(), Entry(key, value))
                for key, value in (
                    ("domain", "x.example.com"),
                    ("config.a", ""),
                    ("links.a", "https://a.example.com"),
                    ("targets.hosts", '["web-1"]'),
                    ("protection.approvals", '{"count": 2}'),
                    ("probes.db", '{"kind": "tcp", "service": "db", "host": "db-2", "port": 5432}'),
                    ("probes.db", ""),
                    ("runs.web", '{"url": "https://a.example.com/v", "pointer": "/v", "interval": 60}'),
                    ("runs.web", '{"command": ["cat", "-n", "/v"], "timeout": 5}'),
                    ("runs.web", ""),
                )
            ),
        ],
        "environments.editing.unset": [editing.unset(state(), Entry("config.workers", "4"))],
        "environments.editing.set_secret": [
            editing.set_secret(state()),
            editing.set_secret(state(), "stripe_key"),
        ],
        "environments.editing.unset_secret": [editing.unset_secret(state(), "stripe_key")],
        "environments.editing.restore": [editing.restore(state(), older)],
        "environments.upkeep.accept_drift": [upkeep.accept_drift(state(), drift())],
        "environments.upkeep.withdraw_drift": [upkeep.withdraw_drift(state(), drift(DriftStatus.ACCEPTED))],
        "environments.upkeep.back_up": [upkeep.back_up(state(), MOMENT)],
        "environments.upkeep.restore_backup": [upkeep.restore_backup(state(), BACKUP, MOMENT)],
        "environments.probing.set_probe": [probing.set_probe(state()), probing.set_probe(state(), "db")],
        "environments.probing.remove": [probing.remove(state(), reading())],
        "environments.probing.rest": [probing.rest(state(), reading(), MOMENT)],
        "environments.probing.wake": [probing.wake(state(), reading(maintenance=True), MOMENT)],
        "environments.probing.try_probe": [probing.try_probe(state(), reading())],
        "environments.probing.beat": [probing.beat(state(), reading(kind="heartbeat"))],
        "access.revoking.end_session": [revoking.end_session(SESSION, MOMENT, own=False, used=False)],
        "access.revoking.end_sessions": [revoking.end_sessions(SESSION, (SESSION,), MOMENT, own=False)],
        "access.revoking.revoke_key": [revoking.revoke_key(KEY, MOMENT)],
        "access.revoking.revoke_token": [revoking.revoke_token(TOKEN, MOMENT)],
        "access.revoking.end_binding": [revoking.end_binding(BINDING, MOMENT)],
        "access.revoking.delete_role": [revoking.delete_role(ROLE, MOMENT)],
        "access.revoking.unlink": [revoking.unlink(LINK, MOMENT, own=False)],
        "access.revoking.take_back": [],
        "access.issuing.make_key": [issuing.make_key(MOMENT)],
        "access.issuing.rotate_key": [issuing.rotate_key(KEY, MOMENT)],
        "access.issuing.make_token": [issuing.make_token(MOMENT)],
        "access.roles.give_role": [roles.give_role(MOMENT)],
        "access.roles.make_role": [roles.make_role()],
        "access.roles.edit_role": [roles.edit_role(ROLE)],
        "access.logins.let_in": [logins.let_in(MOMENT, signed_in=False)],
        "access.logins.turn_away": [logins.turn_away(MOMENT, signed_in=False)],
        "access.logins.link_account": [logins.link_account()],
        "access.webhooks.create": [webhooks.create()],
        "access.webhooks.update": [webhooks.update(WEBHOOK)],
        "access.webhooks.pause": [webhooks.pause(WEBHOOK), webhooks.pause(hooks)],
        "access.webhooks.rotate": [webhooks.rotate(WEBHOOK)],
        "access.webhooks.delete": [webhooks.delete(WEBHOOK)],
        "access.webhooks.test": [webhooks.test(WEBHOOK)],
    }


def makers() -> Iterator[str]:
    """The name of every public function of the dashboard that makes an act."""
    for found in pkgutil.walk_packages(dg.tui.__path__, "dg.tui."):
        if found.name == "dg.tui.gallery":
            continue
        module = importlib.import_module(found.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            made = function.__annotations__.get("return") == "Act"
            if made and not name.startswith("_") and function.__module__ == found.name:
                yield f"{found.name.removeprefix('dg.tui.')}.{name}"
