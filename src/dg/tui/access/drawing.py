"""How sessions, keys, tokens, bindings, roles and the audit log are drawn: pure functions of models."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dg.client.words import age
from dg.core.clock import SECOND
from dg.tui.drawing import ago, moment
from dg.tui.frame.sheet import facts
from dg.tui.ink import Piece, Pieces
from dg.tui.signs import sign
from dg.tui.widgets.table import Column

if TYPE_CHECKING:
    from dg.client.models import Verdict
    from dg.core.access.accounts import SlackLink
    from dg.core.access.models import ApiKey, Binding, DefinedRole, Grant, Principal, Token
    from dg.core.access.sessions import Session
    from dg.core.audit.models import AuditEntry

Now = Callable[[], int]
"""Gives the moment, in microseconds."""


def held(grants: tuple[Grant, ...]) -> str:
    """What somebody may, in a few words."""
    return ", ".join(dict.fromkeys(each.spoken for each in grants)) or "nothing"


def lasting(until: int | None, revoked: int | None, now: int) -> Piece:
    """How long something still opens the server."""
    if revoked is not None:
        return f"{sign('fail')} revoked", "muted"
    if until is None:
        return "until taken back", "fg"
    if until <= now:
        return "· over", "dim"
    return f"{age((until - now) / SECOND)} left", "fg"


def used(at: int | None, now: int) -> Piece:
    """When something was used last."""
    return ("never", "dim") if at is None else (f"{ago(at, now)} ago", "muted")


def yourself(found: Principal, now: int) -> list[Pieces]:
    """Who one is, and what one may."""
    until: list[Piece] = []
    if found.expires_at is not None:
        until = [("   until ", "muted"), (moment(found.expires_at), "fg")]
    acting: list[Piece] = []
    if found.impersonated_by:
        acting = [("  acted for by ", "warn"), (found.impersonated_by, "warn bold")]
    return [
        [(found.name, "fg bold"), (f"  {found.kind}, by {found.method}", "muted"), *until, *acting],
        [("may ", "muted"), (held(found.grants), "fg")],
        [("id  ", "muted"), (found.id, "muted")],
    ]


def session_columns(now: Now, own: Callable[[], str | None]) -> tuple[Column[Session], ...]:
    """`own` gives the id of the session that one comes with."""
    return (
        Column("own", "", lambda row: [(sign("open") if row.id == own() else "", "ok")], 1),
        Column("who", "who", lambda row: [(row.name, "fg bold")], 10, lambda row: row.name),
        Column("host", "host", lambda row: [(row.host, "fg")], 10, flex=True),
        Column("from", "from", lambda row: [(row.address, "muted")], 15, needs=90),
        Column("may", "may", lambda row: [(held(row.grants), "muted")], 10, flex=True),
        Column("used", "used", lambda row: [used(row.refreshed_at, now())], 8, needs=70),
        Column("until", "state", lambda row: [_session_left(row, now())], 16),
    )


def _session_left(row: Session, now: int) -> Piece:
    if row.revoked_why == "reused":
        return f"{sign('fail')} token stolen?", "err bold"
    return lasting(min(row.idle_at, row.expires_at), row.revoked_at, now)


def key_columns(now: Now) -> tuple[Column[ApiKey], ...]:
    return (
        Column("name", "key", lambda row: [(row.name, "fg bold")], 12, lambda row: row.name, flex=True),
        Column("may", "may", lambda row: [(", ".join(map(str, row.scopes)), "muted")], 12, flex=True),
        Column(
            "begins",
            "begins",
            lambda row: [(_begins(row), "dim")],
            12,
            needs=90,
        ),
        Column("used", "used", lambda row: [used(row.last_used_at, now())], 8, needs=60),
        Column("until", "state", lambda row: [lasting(row.expires_at, row.revoked_at, now())], 16),
    )


def _begins(row: ApiKey) -> str:
    return row.secrets[-1].begins if row.secrets else ""


def token_columns(now: Now) -> tuple[Column[Token], ...]:
    return (
        Column("name", "token", lambda row: [(row.name, "fg bold")], 12, lambda row: row.name, flex=True),
        Column("kind", "of", lambda row: [(row.person_name or row.kind, "fg")], 10),
        Column("may", "may", lambda row: [(row.grant.spoken, "muted")], 12, flex=True),
        Column("used", "used", lambda row: [used(row.last_used_at, now())], 8, needs=60),
        Column("until", "state", lambda row: [lasting(row.expires_at, row.revoked_at, now())], 16),
    )


def binding_columns(now: Now) -> tuple[Column[Binding], ...]:
    return (
        Column("who", "who", lambda row: [(row.subject, "fg bold")], 14, lambda row: row.subject, flex=True),
        Column("role", "is", lambda row: [(row.role, "fg")], 10, lambda row: row.role),
        Column("where", "where", lambda row: [(_where(row), "muted")], 12, flex=True),
        Column("until", "state", lambda row: [lasting(row.expires_at, row.revoked_at, now())], 16),
    )


def _where(row: Binding) -> str:
    return "/".join(filter(None, (row.service, row.environment))) or "everywhere"


def role_columns() -> tuple[Column[DefinedRole], ...]:
    return (
        Column("name", "role", lambda row: [(row.name, "fg bold")], 12, lambda row: row.name),
        Column("kind", "kind", lambda row: [("given" if row.given else "own", "muted")], 5),
        Column("count", "actions", lambda row: [(str(len(row.actions)), "fg")], 7, right=True),
        Column("for", "for", lambda row: [(row.description, "muted")], 12, flex=True),
    )


def audit_columns(now: Now) -> tuple[Column[AuditEntry], ...]:
    return (
        Column("seq", "#", lambda row: [(str(row.seq), "dim")], 6, right=True, needs=70),
        Column("at", "age", lambda row: [(ago(row.at, now()), "muted")], 4, right=True),
        Column("decision", "", lambda row: [_decision(row)], 1),
        Column("who", "who", lambda row: [(row.actor_name, "fg bold")], 10),
        Column("what", "what", lambda row: [(row.action or row.type, "fg")], 20, flex=True),
        Column("where", "where", lambda row: [(_place(row), "muted")], 16, needs=90),
        Column("from", "from", lambda row: [(row.address or "", "muted")], 15, needs=110),
        Column(
            "why",
            "why",
            lambda row: [(row.why, _why_ink(row))],
            10,
            flex=True,
        ),
    )


def _decision(row: AuditEntry) -> Piece:
    return (sign("ok"), "ok") if row.decision == "allowed" else (sign("fail"), "err bold")


def _why_ink(row: AuditEntry) -> str:
    return "muted" if row.decision == "allowed" else "err"


def _place(row: AuditEntry) -> str:
    return "/".join(filter(None, (row.service, row.environment)))


def session_facts(row: Session, now: int) -> list[tuple[str, str]]:
    """All that is known of a session."""
    return [
        ("who", f"{row.name} ({row.person})"),
        ("host", row.host),
        ("from", row.address),
        ("may", held(row.grants)),
        ("let in", f"{moment(row.created_at)} by {row.approved_by}"),
        ("used", used(row.refreshed_at, now)[0]),
        ("ends", f"{moment(row.expires_at)}, {moment(row.idle_at)} when it is not used"),
        ("revoked", f"{moment(row.revoked_at)} {row.revoked_why or ''}".strip()),
        ("id", row.id),
    ]


def key_facts(row: ApiKey, now: int) -> list[tuple[str, str]]:
    """All that is known of an API key."""
    return [
        ("may", ", ".join(map(str, row.scopes))),
        ("from", ", ".join(row.addresses) or "anywhere"),
        ("made", f"{moment(row.created_at)} by {row.created_by}"),
        ("ends", moment(row.expires_at)),
        ("used", used(row.last_used_at, now)[0]),
        ("secrets", ", ".join(f"{each.begins}… until {moment(each.until)}" for each in row.secrets)),
        ("revoked", moment(row.revoked_at)),
        ("id", row.id),
    ]


def token_facts(row: Token, now: int) -> list[tuple[str, str]]:
    """All that is known of a token."""
    return [
        ("of", row.person_name or row.kind),
        ("may", row.grant.spoken),
        ("made", f"{moment(row.created_at)} by {row.created_by}"),
        ("ends", moment(row.expires_at)),
        ("used", used(row.last_used_at, now)[0]),
        ("revoked", moment(row.revoked_at)),
        ("id", row.id),
    ]


def binding_facts(row: Binding, now: int) -> list[tuple[str, str]]:
    """All that is known of a binding."""
    return [
        ("who", row.subject),
        ("is", f"{row.role} {_where(row)}"),
        ("given", f"{moment(row.created_at)} by {row.created_by}"),
        ("ends", lasting(row.expires_at, row.revoked_at, now)[0]),
        ("id", row.id),
    ]


def role_facts(row: DefinedRole, _: int) -> list[tuple[str, str]]:
    """What a role may."""
    made = f"{moment(row.created_at)} by {row.created_by}" if row.created_at else "with dg, and never changes"
    return [("for", row.description), ("made", made), ("may", ", ".join(row.actions))]


def link_columns(now: Now) -> tuple[Column[SlackLink], ...]:
    return (
        Column("name", "in Slack", lambda row: [(row.name, "fg bold")], 12, lambda row: row.name, flex=True),
        Column("team", "workspace", lambda row: [(row.team, "muted")], 12, needs=60),
        Column("person", "is", lambda row: [(row.person, "fg")], 12, flex=True),
        Column("since", "since", lambda row: [(f"{ago(row.linked_at, now())} ago", "muted")], 10),
    )


def link_facts(row: SlackLink, _: int) -> list[tuple[str, str]]:
    """An account in Slack, and whose it is."""
    return [
        ("in Slack", f"{row.name} ({row.user} in {row.team})"),
        ("is", row.person),
        ("since", moment(row.linked_at)),
        ("id", row.id),
    ]


def audit_facts(row: AuditEntry, _: int) -> list[tuple[str, str]]:
    """An entry of the audit log in full."""
    return [
        ("at", moment(row.at)),
        ("decision", f"{row.decision}: {row.why}"),
        ("who", f"{row.actor_name} ({row.actor}), by {row.method}"),
        ("acted for by", row.impersonated_by or ""),
        ("what", f"{row.type} {row.action or ''}".strip()),
        ("object", row.object),
        ("where", _place(row)),
        ("from", row.address or ""),
        ("request", row.request_id or ""),
        ("times", str(row.count) if row.count else ""),
    ]


def verdict(found: Verdict) -> list[Pieces]:
    """What a check of the record found."""
    how: Pieces = [
        (f"{sign('ok' if found.ok else 'fail')} {found.message}", "ok" if found.ok else "err bold")
    ]
    rows = [
        ("checked", f"{found.checked} entries"),
        ("newest", str(found.head_seq)),
        ("hash", found.head_hash),
    ]
    return [how, *facts(rows)]
