"""How deployments, runs and facts are drawn: pure functions from views to rows of pieces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dg.client.words import age, duration
from dg.core.clock import SECOND, to_datetime
from dg.tui.ink import Piece, Pieces, apart, column, measure, wrapped
from dg.tui.signs import bar, ink, said, sign
from dg.tui.views import PRODUCTION, DeploymentView, FactView, ProgressView, StepView

MARKS = {"ok": "ok", "warn": "warn", "err": "fail", "progress": "running"}
"""The status whose sign stands before a fact, by the ink of the fact."""


def ago(at: int | None, now: int) -> str:
    """The age of a moment, empty for one that has not come."""
    return "" if at is None else age(max(0, now - at) / SECOND)


def moment(at: int | None) -> str:
    """A day and a time in UTC, empty for none."""
    return f"{to_datetime(at):%Y-%m-%d %H:%M}Z" if at else ""


def place(environment: str, manners: str = "") -> Piece:
    """An environment's name: production is never written like another one."""
    return environment, " ".join(filter(None, ("prod bold" if environment == PRODUCTION else "fg", manners)))


def badge(word: str) -> Piece:
    """A state that needs a person, loud; any other quietly."""
    written = ink(word)
    if written in ("warn", "err"):
        return f" {sign(word)} {word.replace('_', ' ').upper()} ", f"{written} badge"
    return said(word), f"{written} bold"


def left(progress: ProgressView, now: int) -> str:
    """How long a run will still take, as far as experience says."""
    if progress.ends_at is None:
        return ""
    seconds = (progress.ends_at - now) / SECOND
    return f"{duration(seconds)} left" if seconds >= 1 else "any moment now"


def steps(found: Sequence[StepView], width: int, now: int) -> Pieces:
    """The steps of a run in a line: all names where there is room, else that of the one that matters."""
    full: list[Piece] = []
    for step in found:
        took = step_time(step, now)
        full += [
            (f"{sign(step.status)} ", ink(step.status)),
            (step.name, _step_words(step)),
            (f" {took}" if took else "", "muted"),
            (" ── ", "dim"),
        ]
    if measure(full[:-1]) <= width:
        return full[:-1]
    now_at = next((at for at, step in enumerate(found) if step.status in ("running", "failed")), None)
    short: list[Piece] = []
    for at, step in enumerate(found):
        short.append((f"{sign(step.status)} ", ink(step.status)))
        if at == now_at:
            short.append((f"{step.name} {step_time(step, now)} ", _step_words(step)))
    return short


def running_step(found: DeploymentView, progress: ProgressView | None) -> str:
    """The name of the step that runs, the stage while none does."""
    steps_ = progress.steps if progress else ()
    return next((step.name for step in steps_ if step.status == "running"), found.stage or found.status)


def _step_words(step: StepView) -> str:
    return {"running": "progress bold", "failed": "err bold", "success": "fg"}.get(step.status, "muted")


def step_time(step: StepView, now: int) -> str:
    """How long a step took, or has taken so far."""
    if step.seconds is not None:
        return duration(step.seconds)
    return duration((now - step.started_at) / SECOND) if step.started_at and step.status == "running" else ""


def flight(
    found: DeploymentView, progress: ProgressView | None, width: int, now: int, live: bool
) -> list[Pieces]:
    """A deployment that runs: what, how far, its steps, a bar. Nothing is expected without a connection."""
    share = progress.share if progress else 0.0
    words = [(f"{share * 100:.0f}%", "progress bold")] if progress else []
    if progress and live and (rest := left(progress, now)):
        words.append((f"  {rest}", "muted"))
    head = [
        (said(found.status), "progress bold"),
        (f"  {found.version}", "fg bold"),
        (f"  {found.service}", "muted"),
    ]
    rows: list[Pieces] = [apart(head, words, width)]
    if progress and progress.steps:
        rows.append(steps(progress.steps, width, now))
    rows.append(bar(width, share))
    return rows


def activity(facts: Iterable[FactView], width: int, height: int) -> list[Pieces]:
    """The newest facts, the newest on top; a step's are left out, since its deployment shows them."""
    shown = [fact for fact in facts if not fact.type.startswith("step.")]
    rows: list[Pieces] = []
    for fact in reversed(shown[-height:]):
        mark: Piece = (f"{sign(MARKS.get(fact.ink, 'pending'))} ", fact.ink)
        row: list[Piece] = [(f"{to_datetime(fact.at):%H:%M} ", "dim"), mark, *fact.pieces]
        # Half a name says nothing, and what there is of it would take room from what happened.
        rows.append(column(row if measure(row) <= width else row[:-1], width))
    return rows


def outcome(found: DeploymentView, width: int, rows: int) -> list[Pieces]:
    """At most `rows` lines below a deployment's steps: what it waits for, or how it ended and why."""
    state = found.state
    loud = found.final or state == "needs_approval" or found.cancelling
    sign_ = badge(state) if loud else (said(state), ink(state))
    margin = measure([sign_]) + 2
    lines = wrapped([(found.words, "fg" if loud else "muted")], max(1, width - margin), rows)
    return [[sign_, ("  ", ""), *lines[0]], *([(" " * margin, ""), *line] for line in lines[1:])]
