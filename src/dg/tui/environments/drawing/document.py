"""How an environment's document is drawn: its keys, its versions, and how two contents differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dg.client.words import age
from dg.tui.drawing import ago
from dg.tui.ink import Piece, Pieces
from dg.tui.widgets.table import Column

if TYPE_CHECKING:
    from dg.core.environments.models import (
        Difference,
        EnvironmentState,
        Kind,
        SecretState,
        SecretUse,
        Version,
    )


@dataclass(frozen=True)
class Entry:
    """One key of an environment: `text` is its value as JSON or text, empty for a secret."""

    key: str
    text: str
    secret: SecretState | None = None
    shown: str = ""
    """For a secret: the name that steps get it by."""


def entries(state: EnvironmentState) -> list[Entry]:
    """Every key, in the order of the document."""
    from dg.core.environments.content import path_of
    from dg.core.environments.models import API_KEYS, URLS

    settings = {key: value for key, value in state.config.items() if key not in (*URLS, API_KEYS)}
    rows = [Entry("domain", state.domain)]
    rows += [Entry(f"config.{key}", text(value)) for key, value in sorted(settings.items())]
    rows += [Entry(path_of(name), "", each, name) for name, each in sorted(state.secrets.items())]
    for part in ("targets", "protection", "links", "runs", "probes"):
        values: Any = getattr(state, part)
        plain = values if isinstance(values, dict) else values.model_dump()
        rows += [
            Entry(f"{part}.{key}", text(_dumped(value))) for key, value in sorted(plain.items()) if value
        ]
    return rows


def _dumped(value: Any) -> Any:
    return value.model_dump(exclude_none=True) if hasattr(value, "model_dump") else value


def text(value: Any) -> str:
    """A value as one types it: text that would be read as JSON is quoted."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except (ValueError, RecursionError):
            return value
    return json.dumps(value, ensure_ascii=False)


def entry_columns() -> tuple[Column[Entry], ...]:
    return (
        Column("key", "key", lambda row: [(row.key, "fg bold")], 10, lambda row: row.key, flex=True),
        Column("value", "value", _value, 10, flex=True),
    )


def _value(row: Entry) -> Pieces:
    if row.secret is None:
        return [(row.text, "fg")]
    grade = row.secret.grade.replace("_", " ")
    return [("********", "muted"), (f"  version {row.secret.version} · {grade}", "dim")]


def entry_facts(row: Entry, now: int) -> list[tuple[str, str]]:
    """All that may be shown of a key."""
    if row.secret is None:
        return [(row.key, row.text)]
    return [
        (row.key, "set; nobody reads it back"),
        ("steps get it as", row.shown),
        ("version", str(row.secret.version)),
        ("fingerprint", row.secret.fingerprint),
        ("grade", row.secret.grade.replace("_", " ")),
        ("changed", f"{ago(row.secret.changed_at, now)} ago by {row.secret.changed_by}"),
    ]


def use_facts(use: SecretUse | None, now: int) -> list[tuple[str, str]]:
    """Who uses a secret, and whether it is older than it should be."""
    if use is None:
        return [("now", "taken away meanwhile")]
    last = f"{ago(use.used_at, now)} ago by {use.used_by}" if use.used_at is not None else "never"
    return [
        ("named by", ", ".join(use.services) or "no step that you may see"),
        ("used", last),
        ("age", f"{age(use.age)}{': time for another' if use.old else ''}"),
    ]


# Versions and differences


def version_columns(now: Any) -> tuple[Column[Version], ...]:
    """`now` gives the moment, in microseconds."""
    return (
        Column("version", "version", lambda row: [(str(row.version), "fg bold")], 7, right=True),
        Column("at", "when", lambda row: [(ago(row.at, now()), "muted")], 4, right=True),
        Column("by", "by", lambda row: [(row.by_name or row.by, "fg")], 10),
        Column("why", "why", lambda row: [(_reason(row), "fg")], 10, flex=True),
        Column("changed", "keys", lambda row: [(" ".join(row.changed), "muted")], 10, flex=True, needs=58),
    )


def _reason(row: Version) -> str:
    return row.reason or (f"restored {row.restored}" if row.restored is not None else "")


def difference_columns() -> tuple[Column[Difference], ...]:
    return (
        Column("sign", "", lambda row: [_sign(row)], 1),
        Column("key", "key", lambda row: [(row.key, "fg bold")], 10, lambda row: row.key, flex=True),
        Column("before", "here", lambda row: [(kind(row.before), "muted")], 13),
        Column("after", "there", lambda row: [(kind(row.after), "muted")], 13),
    )


def difference_facts(row: Difference) -> list[tuple[str, str]]:
    """A key that differs, in full."""
    return [("key", row.key), ("here", kind(row.before)), ("there", kind(row.after))]


def _sign(row: Difference) -> Piece:
    if row.before is None:
        return "+", "ok bold"
    return ("-", "err bold") if row.after is None else ("~", "warn bold")


def kind(found: Kind | None) -> str:
    """What stands on one side of a difference, without its value."""
    if found is None:
        return "missing"
    return f"{found.type} {found.fingerprint[:6]}" if found.fingerprint else found.type


def differences(found: Iterable[Difference]) -> list[Pieces]:
    """A line for each key that is not the same."""
    return [
        [
            _sign(each),
            (f" {each.key}  ", "fg bold"),
            (kind(each.before), "muted"),
            ("  →  ", "dim"),
            (kind(each.after), "muted"),
        ]
        for each in found
    ] or [[("nothing changes", "muted")]]


def compared(before: Mapping[str, str], after: Mapping[str, str]) -> list[Pieces]:
    """A line for each key whose value, as one types it, is another; an empty one is none."""
    rows: list[Pieces] = []
    for key in (*before, *(key for key in after if key not in before)):
        old, new = before.get(key, ""), after.get(key, "")
        if old == new:
            continue
        mark: Piece = ("+", "ok bold") if not old else ("-", "err bold") if not new else ("~", "warn bold")
        arrow = "  →  " if old and new else ""
        rows.append([mark, (f" {key}  ", "fg bold"), (old, "muted"), (arrow, "dim"), (new, "fg")])
    return rows
