"""What is read of one deployment, and how it is drawn beside its log: commits, gates, decisions, facts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dg.client.words import duration
from dg.core.clock import to_datetime
from dg.core.text import counted
from dg.tui.ink import Piece, Pieces, column, wrapped
from dg.tui.overview.cards import skeleton
from dg.tui.parts import Parts
from dg.tui.signs import sign
from dg.tui.views import DeploymentView

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.deployments.models import Approval, Changes, Deployment, Diff, Gate, Progress


@dataclass
class Dossier(Parts):
    """One deployment as it was read last; what is None was not read yet, or may not be."""

    deployment: Deployment | None = None
    progress: Progress | None = None
    changes: Changes | None = None
    diff: Diff | None = None
    receipt: bytes = b""
    named: dict[str, str] = field(default_factory=dict)
    """Other deployments that it names, as `#7 v1.2.0` by id."""

    async def read(self, dg: Client, id: str, *, source: bool) -> None:  # noqa: A002
        """Read what may have moved, the files too where somebody may see `source`. Raises Unavailable."""
        api = dg.deployments
        self.deployment = await self.take("deployment", api.get(id), self.deployment)
        self.progress = await self.take("steps", api.status(id), self.progress)
        self.changes = await self.take("commits", api.changes(id), self.changes)
        if source and not self._is_up_to_date():
            self.diff = await self.take("files", api.diff(id), self.diff)
        found = self.deployment
        if found is not None and DeploymentView.of(found).final and not self.receipt:
            self.receipt = await self.take("receipt", api.receipt(id), self.receipt)
        for other in _others(found) if found is not None else ():
            if other not in self.named and (named := await self.take("others", api.get(other), None)):
                self.named[other] = f"#{named.number} {named.version}"

    def _is_up_to_date(self) -> bool:
        """Whether the files are those between the commits: what runs there may have moved."""
        if self.diff is None or self.changes is None:
            return False
        return (self.diff.base, self.diff.head) == (self.changes.base, self.changes.head)

    @property
    def counts(self) -> str:
        """How many commits come and go."""
        if self.changes is None:
            return "commits"
        old = " · ▲ not read again" if "commits" in self.wrong else ""
        leaving = f", {self.changes.leaving_total} leave" if self.changes.leaving_total else ""
        return f"{counted(self.changes.total, 'commit')}{leaving}{old}"


def _others(found: Deployment) -> Iterator[str]:
    yield from filter(None, (found.rollback_of, found.target, found.rolled_back_by, found.retry_of))


def stamp(at: int) -> str:
    """A moment with its day."""
    return f"{to_datetime(at):%Y-%m-%d %H:%M:%S}"


def commits(found: Dossier, width: int, height: int) -> list[Pieces]:
    """A line for each commit that comes, then for each that goes away, and the sum of the files."""
    if (wrong := found.wrong.get("commits")) and found.changes is None:
        return list(wrapped([(f"✗ {wrong}", "err")], width, height))
    if found.changes is None:
        return skeleton(width, height)
    rows: list[Pieces] = []
    for mark, ink, each in (("+", "ok", found.changes.commits), ("-", "err", found.changes.leaving)):
        rows += [
            column(
                [
                    (f"{mark} ", ink),
                    (f"{commit.sha[:7]} ", "muted"),
                    (f"{commit.author}  ", "primary"),
                    (commit.subject, "fg"),
                ],
                width,
            )
            for commit in each
        ]
    rows = rows or [[("no commit comes or goes", "muted")]]
    # Commits come before the air between them and the files.
    tail = [row for row in _files(found) if row or height > ROOMY]
    room = max(1, height - len(tail))
    if len(rows) > room:
        rows = [*rows[: room - 1], [(f"… {len(rows) - room + 1} more", "dim")]]
    return [*rows, *tail][:height]


def _files(found: Dossier) -> Iterator[Pieces]:
    if wrong := found.wrong.get("files"):
        yield []
        yield [(f"✗ files: {wrong}", "err")]
    elif found.diff is not None:
        files = found.diff.files
        yield []
        yield [
            (f"{counted(files.total, 'file')}  ", "fg"),
            (f"+{files.added} ", "ok"),
            (f"-{files.removed}", "err"),
        ]


def facts(found: Dossier, width: int) -> list[Pieces]:
    """What it waits for, who decided and on what, and everything else that is known of it."""
    deployment = found.deployment
    if deployment is None:
        wrong = found.wrong.get("deployment")
        return list(wrapped([(f"✗ {wrong}", "err")], width, 4)) if wrong else skeleton(width, 4)
    rows: list[Pieces] = []
    for gate in deployment.gates or ():
        rows += _gate(gate, width)
    for approval in deployment.approvals or ():
        rows += _decision(approval, deployment.content, width)
    if rows:
        rows.append([])
    for name, value in _facts(deployment, found):
        head, *more = wrapped([(value, "fg")], max(8, width - NAME), 3)
        rows += [[(f"{name:<{NAME}}", "muted"), *head], *([(" " * NAME, ""), *row] for row in more)]
    return rows


ROOMY = 4
"""Rows from which there is room for an empty one."""
NAME = 11
"""Cells for the name of a fact and the space behind it."""


def _gate(gate: Gate, width: int) -> Iterator[Pieces]:
    mark = "passed" if gate.overridden_by else "open" if gate.open else "closed"
    ink = "ok" if gate.open else "warn"
    yield from wrapped([(f"{sign(mark)} {gate.name}", f"{ink} bold"), (gate.sentence, "fg")], width, 4)


def _decision(found: Approval, content: str | None, width: int) -> Iterator[Pieces]:
    """What a person decided, and what that is bound to."""
    word = f"passed {found.gate}" if found.gate else found.verdict.value
    given = found.verdict.value == "approved"
    ink = "dim" if found.voided_at else "ok" if given else "err" if word == "rejected" else "warn"
    head = f"{sign('ok' if given else 'warn')} {word} by {found.by_name or found.by}"
    yield column([(head, f"{ink} bold"), (f"  {stamp(found.at)}", "muted")], width)
    if found.note:
        yield from wrapped([(f"“{found.note}”", "fg")], width, 2)
    bound: list[Piece] = [("bound to ", "muted"), (found.content[:12], "fg")]
    if found.voided_at:
        bound.append((f"void: {found.void_reason or 'it moved'}", "warn"))
    elif content is not None and content != found.content:
        bound.append(("and not to what it is now", "warn"))
    yield from ([("  ", ""), *row] for row in wrapped(bound, max(1, width - 2), 2))


def _facts(found: Deployment, dossier: Dossier) -> Iterator[tuple[str, str]]:
    """Names and values, those that are not set left out."""
    receipt = hashlib.sha256(dossier.receipt).hexdigest() if dossier.receipt else ""

    def named(id: str | None) -> str | None:  # noqa: A002
        return dossier.named.get(id, id) if id else None

    given = [
        ("asked by", f"{found.created_by_name or found.created_by}, {stamp(found.created_at)}"),
        ("not before", found.not_before and stamp(found.not_before)),
        ("started", found.started_at and stamp(found.started_at)),
        ("ended", found.completed_at and stamp(found.completed_at)),
        ("build", found.build_time is not None and duration(found.build_time)),
        ("deploy", found.deploy_time is not None and duration(found.deploy_time)),
        ("ref", found.ref),
        ("commit", found.commit_sha),
        ("ran before", found.base_sha),
        ("content", found.content),
        ("pipeline", found.pipeline_sha256[:12]),
        ("override", found.override),
        ("note", found.note),
        ("undoes", named(found.rollback_of)),
        ("back to", named(found.target)),
        ("undone by", named(found.rolled_back_by)),
        ("retry of", named(found.retry_of)),
        ("from step", found.from_step),
        *((name, value) for name, value in found.outputs.items()),
        ("receipt", f"sha256 {receipt[:12]}…" if receipt else dossier.wrong.get("receipt", "")),
        ("id", found.id),
    ]
    yield from ((name, str(value)) for name, value in given if value)
