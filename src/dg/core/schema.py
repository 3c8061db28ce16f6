"""The tables. Columns are text, integers, floats and bytes; times are integer microseconds, JSON is text.

`state` is kept at full durability; `logs` may lose its last moments at a power cut and is read again from the
runs' own files. A change here comes with a migration in `core/migrations/`; a test holds the two equal.
"""

from __future__ import annotations

import sqlalchemy as sa

STATE_HEAD = "0026"
LOGS_HEAD = "logs_0002"

state = sa.MetaData()
logs = sa.MetaData()

_Big = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _text(name: str, *, null: bool = False, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=null, server_default=default)


def _int(name: str, *, null: bool = False, default: int | None = None) -> sa.Column[int]:
    return sa.Column(name, _Big, nullable=null, server_default=None if default is None else str(default))


def _float(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Float, nullable=True)


ledger = sa.Table(
    "ledger",
    state,
    sa.Column("seq", _Big, primary_key=True, autoincrement=False),
    _int("at"),
    _text("type"),
    _text("actor"),
    _text("auth"),
    _text("object"),
    _text("environment", null=True),
    _text("service", null=True),
    _text("payload"),
    _text("prev"),
    _text("hash"),
    sa.Index("ledger_object", "object", "seq"),
)

_freeze = ledger.c.type == "freeze.set"
sa.Index("ledger_freezes", ledger.c.seq, sqlite_where=_freeze, postgresql_where=_freeze)
"""A freeze is a fact about itself: by no object can be found which freezes there were at a moment."""

ledger_head = sa.Table(
    "ledger_head",
    state,
    sa.Column("id", _Big, primary_key=True, autoincrement=False),
    _int("seq"),
    _text("hash"),
)

origins = sa.Table(
    "origins",
    state,
    sa.Column("seq", _Big, primary_key=True, autoincrement=False),
    sa.Column("salt", sa.Text, primary_key=True),
    _int("at"),
    _text("address"),
    _text("request_id"),
    sa.Index("origins_at", "at"),
)

meta = sa.Table("meta", state, sa.Column("key", sa.Text, primary_key=True), _text("value"))

principals = sa.Table(
    "principals",
    state,
    sa.Column("id", sa.Text, primary_key=True),
    _text("name"),
    _text("kind"),
)

slack_accounts = sa.Table(
    "slack_accounts",
    state,
    sa.Column("team", sa.Text, primary_key=True),
    sa.Column("user", sa.Text, primary_key=True),
    _text("id"),
    _text("name"),
    _text("person"),
    _text("groups"),
    _int("linked_at"),
    sa.Index("slack_accounts_person", "person"),
)
"""Who somebody is in Slack. `groups` are the user groups that they were last seen in, as JSON."""

slack_mutes = sa.Table(
    "slack_mutes",
    state,
    sa.Column("id", sa.Text, primary_key=True),
    _text("channel"),
    _int("since"),
    _int("until"),
    _text("by"),
    sa.Column("reason", sa.Text),
    _int("ended"),
    sa.Index("slack_mutes_channel", "channel"),
)
"""Times in which a channel hears only of what cannot wait; `ended` is 1 once that was said."""

slack_subscriptions = sa.Table(
    "slack_subscriptions",
    state,
    sa.Column("id", sa.Text, primary_key=True),
    _text("channel"),
    sa.Column("environment", sa.Text),
    sa.Column("service", sa.Text),
    _text("severity"),
    _int("since"),
    _text("by"),
    _int("ended_at", null=True),
    sa.Index("slack_subscriptions_channel", "channel"),
)
"""What channels are told beside the routes: of one environment, one service, or all where that is null."""

slack_codes = sa.Table(
    "slack_codes",
    state,
    sa.Column("digest", sa.Text, primary_key=True),
    _text("team"),
    _text("user"),
    _text("name"),
    _int("expires_at"),
)
"""Codes that somebody in Slack was given, to say here who they are."""

seen_rights = sa.Table(
    "seen_rights",
    state,
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("organization", sa.Text, primary_key=True),
    _text("grants"),
    _text("groups"),
    _text("mapping"),
    _int("until"),
)

tokens = sa.Table(
    "tokens",
    state,
    sa.Column("id", sa.Text, primary_key=True),
    _text("name"),
    _text("kind"),
    _text("role"),
    _text("environment", null=True),
    _text("service", null=True),
    _int("created_at"),
    _text("created_by"),
    _int("expires_at"),
    _int("revoked_at", null=True),
    _int("last_used_at", null=True),
    _text("person", null=True),
    sa.Index("tokens_person", "person"),
)

people = sa.Table(
    "people",
    state,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("reading", sa.Text, nullable=False, unique=True),
    _int("created_at"),
    _text("created_by"),
)
"""Who has sessions; `reading` is one for all names that read alike. The names stand in `principals`."""

logins = sa.Table(
    "logins",
    state,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("device_digest", sa.Text, nullable=False, unique=True),
    sa.Column("user_digest", sa.Text, nullable=False, unique=True),
    _text("name"),
    _text("host"),
    _text("address"),
    _text("state"),
    _int("asked_at"),
    _int("expires_at"),
    _text("decided_by", null=True),
    _int("decided_at", null=True),
    _text("person", null=True),
    _text("grants", null=True),
    _text("approved_in", null=True),
    _int("ends_at", null=True),
    _text("session", null=True),
    sa.Index("logins_expires", "expires_at"),
)

sessions = sa.Table(
    "sessions",
    state,
    sa.Column("id", sa.Text, primary_key=True),
    _text("person"),
    _text("host"),
    _text("address"),
    _text("grants"),
    _text("approved_by"),
    _text("approved_in", null=True),
    _int("created_at"),
    _int("refreshed_at"),
    _int("idle_at"),
    _int("expires_at"),
    _int("revoked_at", null=True),
    _text("revoked_why", null=True),
    _int("generation"),
    _text("digest"),
    sa.Index("sessions_person", "person"),
    sa.Index("sessions_approved_in", "approved_in"),
)

api_keys = sa.Table(
    "api_keys",
    state,
    sa.Column("id", sa.Text, primary_key=True),
    _text("name"),
    _text("scopes"),
    _text("addresses"),
    _int("created_at"),
    _text("created_by"),
    _int("expires_at"),
    _int("revoked_at", null=True),
    _int("last_used_at", null=True),
)

api_key_secrets = sa.Table(
    "api_key_secrets",
    state,
    sa.Column("begins", sa.Text, primary_key=True),
    _text("key"),
    _int("number"),
    _text("digest"),
    _text("pepper"),
    _int("created_at"),
    _int("until"),
    sa.Index("api_key_secrets_key", "key", "number", unique=True),
)

roles = sa.Table(
    "roles",
    state,
    sa.Column("name", sa.Text, primary_key=True),
    _text("description"),
    _text("actions"),
    _int("created_at"),
    _text("created_by"),
    _int("updated_at"),
)

bindings = sa.Table(
    "bindings",
    state,
    sa.Column("id", sa.Text, primary_key=True),
    _text("subject"),
    _text("role"),
    _text("environment", null=True),
    _text("service", null=True),
    _int("created_at"),
    _text("created_by"),
    _int("expires_at", null=True),
    _int("revoked_at", null=True),
    sa.Index("bindings_subject", "subject"),
)

notices = sa.Table(
    "notices",
    state,
    sa.Column("id", sa.Text, primary_key=True),
    _text("source"),
    _text("delivery", null=True),
    _text("digest", null=True),
    _text("event"),
    _text("ref"),
    _text("commit_sha", null=True),
    _text("addresses"),
    _int("received_at"),
    _int("handled_at", null=True),
    sa.Index("notices_delivery", "source", "delivery", unique=True),
    sa.Index("notices_digest", "source", "digest", unique=True),
    sa.Index("notices_handled", "handled_at"),
)

deployments = sa.Table(
    "deployments",
    state,
    sa.Column("number", _Big, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    _text("service"),
    _text("environment"),
    _text("kind"),
    _text("status"),
    _text("stage"),
    _text("version"),
    _text("commit_sha"),
    _text("ref", null=True),
    _text("base_sha", null=True),
    _text("rollback_of", null=True),
    _text("target", null=True),
    _text("rolled_back_by", null=True),
    _text("reason", null=True),
    _text("message", null=True),
    _text("note", null=True),
    _text("override", null=True),
    _int("touched", default=0),
    _text("created_by"),
    _int("created_at"),
    _int("queued_at"),
    _int("not_before", null=True),
    _int("expires_at", null=True),
    _int("started_at", null=True),
    _int("deploying_at", null=True),
    _int("completed_at", null=True),
    _float("build_time"),
    _float("deploy_time"),
    _int("cancel_requested_at", null=True),
    _int("cancel_then_rollback", default=0),
    _text("pipeline_sha256"),
    _text("outputs", default="{}"),
    _int("epoch", default=0),
    _int("revision", default=0),
    _int("spool_seq", default=0),
    _text("guard", null=True),
    _text("gates", null=True),
    _text("retry_of", null=True),
    _text("from_step", null=True),
    sa.Index("deployments_lane", "service", "environment", "number"),
    sa.Index("deployments_created", "created_at"),
)

_active = deployments.c.status.in_(("building", "deploying"))
sa.Index(
    "deployments_one_active",
    deployments.c.service,
    deployments.c.environment,
    unique=True,
    sqlite_where=_active,
    postgresql_where=_active,
)
_unfinished = deployments.c.status.in_(("pending", "building", "deploying"))
sa.Index(
    "deployments_unfinished",
    deployments.c.queued_at,
    sqlite_where=_unfinished,
    postgresql_where=_unfinished,
)

_succeeded = deployments.c.status == "success"
sa.Index(
    "deployments_succeeded",
    deployments.c.service,
    deployments.c.commit_sha,
    sqlite_where=_succeeded,
    postgresql_where=_succeeded,
)

approvals = sa.Table(
    "approvals",
    state,
    sa.Column("seq", _Big, primary_key=True, autoincrement=True),
    _text("deployment_id"),
    _text("by"),
    _int("at"),
    _text("verdict"),
    _text("gate", null=True),
    _text("content"),
    _int("expires_at", null=True),
    _text("note", null=True),
    _int("voided_at", null=True),
    _text("void_reason", null=True),
    sa.Index("approvals_deployment", "deployment_id", "seq"),
)
_standing = sa.and_(approvals.c.verdict == "approved", approvals.c.voided_at.is_(None))
sa.Index(
    "approvals_once",
    approvals.c.deployment_id,
    approvals.c.by,
    unique=True,
    sqlite_where=_standing,
    postgresql_where=_standing,
)

runs = sa.Table(
    "runs",
    state,
    sa.Column("deployment_id", sa.Text, primary_key=True),
    _text("host"),
    _text("path"),
    _text("home"),
)
"""Where each run was begun or taken over: its folder is there and nowhere else."""

snapshots = sa.Table("snapshots", state, sa.Column("sha256", sa.Text, primary_key=True), _text("text"))

steps = sa.Table(
    "steps",
    state,
    sa.Column("deployment_id", sa.Text, primary_key=True),
    sa.Column("idx", _Big, primary_key=True, autoincrement=False),
    _text("name"),
    _text("phase"),
    _int("reversible", default=1),
    _text("status"),
    _int("started_at", null=True),
    _int("completed_at", null=True),
    _float("seconds"),
    _float("expected"),
    _text("reason", null=True),
    _text("detail", null=True),
)

receipts = sa.Table(
    "receipts",
    state,
    sa.Column("seq", _Big, primary_key=True, autoincrement=True),
    sa.Column("deployment_id", sa.Text, nullable=False, unique=True),
    _text("service"),
    _text("environment"),
    _text("sha256"),
    _text("body"),
    sa.Index("receipts_lane", "service", "environment", "seq"),
)

lanes = sa.Table(
    "lanes",
    state,
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("environment", sa.Text, primary_key=True),
    _text("holder", null=True),
    _text("current", null=True),
    _int("known", default=1),
    _text("lock_reason", null=True),
    _int("lock_automatic", default=0),
    _text("lock_by", null=True),
    _int("lock_since", null=True),
    _int("lock_until", null=True),
    _text("lock_asked_by", null=True),
    _text("left_by", null=True),
)

freezes = sa.Table(
    "freezes",
    state,
    sa.Column("id", sa.Text, primary_key=True),
    _text("service", null=True),
    _text("environment", null=True),
    _text("reason"),
    _text("by"),
    _int("since"),
    _int("until"),
)

blocks = sa.Table(
    "blocks",
    state,
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("environment", sa.Text, primary_key=True),
    sa.Column("commit_sha", sa.Text, primary_key=True),
    _text("version"),
    _text("reason"),
    _text("deployment"),
    _int("at"),
)

pipelines = sa.Table(
    "pipelines",
    state,
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("revision", _Big, primary_key=True, autoincrement=False),
    _text("sha256"),
    _int("registered_at"),
    _text("registered_by"),
)

idempotency = sa.Table(
    "idempotency",
    state,
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    _text("fingerprint"),
    _text("answer"),
    _int("at"),
)

ticks = sa.Table(
    "ticks",
    state,
    sa.Column("job", sa.Text, primary_key=True),
    sa.Column("tick", _Big, primary_key=True, autoincrement=False),
    _int("at"),
)

outbox = sa.Table(
    "outbox",
    state,
    sa.Column("seq", _Big, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    _text("kind"),
    _text("key"),
    _text("destination"),
    _text("payload"),
    _text("memory", null=True),
    _int("wanted"),
    _int("sent"),
    _text("status"),
    _int("attempts"),
    _int("next_at", null=True),
    _int("created_at"),
    _int("settled_at", null=True),
    _text("last_error", null=True),
    _int("answer", null=True),
    _int("priority", default=5),
    sa.Index("outbox_message", "kind", "key", unique=True),
    sa.Index("outbox_destination", "destination", "seq"),
    sa.Index("outbox_settled", "settled_at"),
)
"""Messages that are wanted outside: `sent` is behind `wanted` until the newest has arrived. `next_at` is when
it is tried next, and null when it is settled. Of those that are due the lowest `priority` goes first."""

_waiting = outbox.c.next_at.is_not(None)
sa.Index(
    "outbox_due",
    outbox.c.next_at,
    sqlite_where=_waiting,
    postgresql_where=_waiting,
)

outbox_destinations = sa.Table(
    "outbox_destinations",
    state,
    sa.Column("destination", sa.Text, primary_key=True),
    _int("failures"),
    _int("failing_since", null=True),
    _int("next_at"),
    _int("held"),
    _text("last_error", null=True),
)

webhooks = sa.Table(
    "webhooks",
    state,
    sa.Column("id", sa.Text, primary_key=True),
    _text("url"),
    _text("description", null=True),
    _text("events"),
    _text("filter", null=True),
    _text("environment", null=True),
    _text("service", null=True),
    _int("enabled"),
    _text("disabled_reason", null=True),
    _text("owner"),
    _text("secret"),
    _text("old_secret", null=True),
    _int("old_until", null=True),
    _int("since"),
    _int("created_at"),
    _int("updated_at"),
)
"""`since` is the entry of the ledger after which events are sent; secrets are sealed (`core/keys.py`)."""

environment_versions = sa.Table(
    "environment_versions",
    state,
    sa.Column("environment", sa.Text, primary_key=True),
    sa.Column("version", _Big, primary_key=True, autoincrement=False),
    _int("at"),
    _text("by"),
    _text("reason", null=True),
    _int("restored", null=True),
    _text("changed"),
    _text("content"),
)
"""What each environment held, from its first version on; the newest holds."""

environment_secrets = sa.Table(
    "environment_secrets",
    state,
    sa.Column("environment", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", _Big, primary_key=True, autoincrement=False),
    _text("sealed"),
)
"""Secrets sealed with the data key of their environment (`core/environments/vault.py`)."""

environment_keys = sa.Table(
    "environment_keys",
    state,
    sa.Column("environment", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
)
"""What each environment is configured with now, settings and secrets, for who asks what one lacks."""

secret_uses = sa.Table(
    "secret_uses",
    state,
    sa.Column("environment", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    _int("used_at", null=True),
    _text("used_by", null=True),
    _int("reminded_at", null=True),
)
"""When a secret was last given to a service's steps, and when somebody was last told that it is old."""

data_keys = sa.Table(
    "data_keys",
    state,
    sa.Column("name", sa.Text, primary_key=True),
    _text("sealed"),
    _int("created_at"),
)
"""Keys by what they seal, sealed themselves with the home's (`core/keys.py`)."""

drift_findings = sa.Table(
    "drift_findings",
    state,
    sa.Column("environment", sa.Text, primary_key=True),
    sa.Column("service", sa.Text, primary_key=True),
    _text("finding"),
    _text("accepted_by", null=True),
)
"""What was last learned of what really runs (`core/drift/`)."""

backups = sa.Table(
    "backups",
    state,
    sa.Column("what", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    _int("at"),
    _text("by"),
    _int("scheduled"),
    _text("file"),
    _int("size"),
    _text("sha256"),
    _int("head_seq"),
    _int("version", null=True),
    _text("keys"),
    _int("tested_at", null=True),
    _text("problem", null=True),
    _text("folder", null=True),
)
"""Backups that the server made and still keeps; `what` is an environment, or `home`. `folder` is where it was
put, from the home on; NULL for where the settings say."""

service_health = sa.Table(
    "service_health",
    state,
    sa.Column("environment", sa.Text, primary_key=True),
    sa.Column("service", sa.Text, primary_key=True),
    _text("status"),
    _int("since"),
    _text("deployment", null=True),
    _int("number", null=True),
)
"""How each service is, as the ledger was told last; the row without a service is the whole environment's."""

chunks = sa.Table(
    "chunks",
    logs,
    sa.Column("deployment_id", sa.Text, primary_key=True),
    sa.Column("seq", _Big, primary_key=True, autoincrement=False),
    _int("lines"),
    _int("step"),
    _int("at"),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

probe_standings = sa.Table(
    "probe_standings",
    logs,
    sa.Column("id", _Big, primary_key=True, autoincrement=False),
    _text("environment"),
    _text("probe"),
    _text("standing"),
)
"""Every probe that there ever was, by the number that its results have, and how it stood last."""

probe_spans = sa.Table(
    "probe_spans",
    logs,
    sa.Column("level", _Big, primary_key=True, autoincrement=False),
    sa.Column("at", _Big, primary_key=True, autoincrement=False),
    sa.Column("probe", _Big, primary_key=True, autoincrement=False),
    _int("passed"),
    _int("slow"),
    _int("failed"),
    _int("unknown"),
    _int("answers"),
    _int("took"),
    _int("slowest"),
    sqlite_with_rowid=False,
)
"""Tries of probes counted together: `level` is the length of a span in seconds, 0 for one try alone. `took`
and `slowest` are microseconds, over `answers`. In the order of time, so that what is written together lies
together."""

attached_chunks = chunks.to_metadata(sa.MetaData(), schema="logs")
"""The same table as the reading connections of the state database see it."""
