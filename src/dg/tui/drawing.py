"""How lanes, deployments and runs are drawn: pure functions from views to rows of pieces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dg.client.words import age, duration
from dg.core.clock import SECOND, to_datetime
from dg.core.text import counted
from dg.tui.ink import Piece, Pieces, apart, measure, wrapped
from dg.tui.signs import bar, ink, said, sign
from dg.tui.views import PRODUCTION, DeploymentView, FactView, LaneView, ProgressView, StepView

ROOMY = 11
"""Rows from which a card has some to spare."""
ORDER = ("frozen", "locked", "busy", "open")
"""Lane states, what needs a person first."""


def ago(at: int | None, now: int) -> str:
    """The age of a moment, empty for one that has not come."""
    return "" if at is None else age(max(0, now - at) / SECOND)


def moment(at: int | None) -> str:
    """A moment to the second, without its day."""
    return f"{to_datetime(at):%H:%M:%S}" if at else ""


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


def lane(found: LaneView, current: DeploymentView | None, width: int, now: int) -> list[Pieces]:
    """One lane: what runs there and since when; why it is closed, where it is."""
    runs: list[Piece] = [("not known", "warn bold")]
    if found.known:
        runs = [(found.version, "fg bold")] if found.version else [("nothing yet", "dim")]
    if found.sha and not found.sha.startswith(found.version or "-"):
        runs.append((f" {found.sha[:7]}", "muted"))
    since = f"{current.by} · {ago(current.completed_at, now)}" if current and current.completed_at else ""
    mark = [] if found.state == "open" else [(f"{sign(found.state)} ", f"{ink(found.state)} bold")]
    head = [*mark, (f"{found.service} ", "muted"), *runs]
    right: list[Piece] = [(since, "muted")] if measure(head) + measure([(since, "")]) < width else []
    rows: list[Pieces] = [apart(head, right, width)]
    if found.closed or not found.known:
        rows += wrapped([(found.sentence, ink(found.state) if found.closed else "warn")], width, 3)
    return rows


def card(
    lanes: Iterable[LaneView],
    deployments: Mapping[str, DeploymentView],
    progress: Mapping[str, ProgressView],
    width: int,
    height: int,
    now: int,
    live: bool,
) -> list[Pieces]:
    """One environment: its worst state, its lanes, what is under way and what waits for a person."""
    found = urgent(lanes)
    if not found:
        return [[("nothing deploys here yet", "dim")]]
    worst = (
        found[0].state if all(each.known for each in found) else "locked" if found[0].closed else "unknown"
    )
    count = counted(len(found), "lane")
    top: Piece = (" ▲ NOT KNOWN ", "warn badge") if worst == "unknown" else badge(worst)
    rows: list[Pieces] = [apart([top], [(count, "muted")], width)]
    for each in found:
        current = deployments.get(each.current)
        rows += lane(each, current, width, now)
        holder = deployments.get(each.holder)
        if holder is not None and holder.active:
            rows += flight(holder, progress.get(holder.id), width, now, live)
        rows += waiting(each, deployments, width)
    if height > ROOMY:
        # A badge right below the badge of the border would read as one.
        rows.insert(0, [])
    lately = [
        each for each in deployments.values() if each.final and _lane(each) in {lane.key for lane in found}
    ]
    rows += past(lately, width, height - len(rows) - 1, now)
    return _cut(rows, height)


def urgent(lanes: Iterable[LaneView]) -> list[LaneView]:
    """Lanes, those that need a person first."""
    order = {state: at for at, state in enumerate(ORDER)}
    return sorted(lanes, key=lambda each: (order.get(each.state, 0), each.service))


def line(name: str, lanes: Iterable[LaneView], width: int) -> Pieces:
    """One environment where there is room for a line alone."""
    found = urgent(lanes)
    state: Pieces = [badge(found[0].state)] if found else [("nothing deploys here yet", "dim")]
    runs = "  ".join(f"{each.service} {each.version}" for each in found)
    name_words = "prod badge" if name == PRODUCTION else "fg bold"
    shown = f" {name.upper()} " if name == PRODUCTION else name
    return apart([(shown, name_words), ("  ", ""), *state, (f"  {runs}", "muted")], [], width)


def past(found: Iterable[DeploymentView], width: int, room: int, now: int) -> list[Pieces]:
    """The newest deployments that have ended, below an empty line, as far as there is room."""
    newest = sorted(found, key=lambda each: -each.number)[: max(0, room)]
    rows: list[Pieces] = [[]] if newest else []
    for each in newest:
        what = (
            f"  {each.service} {each.version}"
            if each.kind == "deploy"
            else f"  {each.service} back to {each.version}"
        )
        took = "" if each.seconds is None else duration(each.seconds)
        right: Pieces = [(f"{took}  {ago(each.completed_at, now):>4}", "dim")]
        rows.append(
            apart(
                [(sign(each.status), ink(each.status)), (what, "muted"), (f"  {each.by}", "dim")],
                right,
                width,
            )
        )
    return rows


def waiting(found: LaneView, deployments: Mapping[str, DeploymentView], width: int) -> list[Pieces]:
    """What waits for a lane, and for what."""
    waits = [each for each in deployments.values() if each.status == "pending" and _lane(each) == found.key]
    rows: list[Pieces] = []
    for each in sorted(waits, key=lambda waits: waits.number)[:2]:
        head: list[Piece] = [
            (f"{sign(each.state)} #{each.number} {each.version} ", f"{ink(each.state)} bold")
        ]
        rows.append(apart([*head, (each.hold, "muted")], [], width))
    return rows


def _lane(found: DeploymentView) -> tuple[str, str]:
    return found.service, found.environment


def _cut(rows: list[Pieces], height: int) -> list[Pieces]:
    """At most so many rows; the last one says that there is more."""
    if len(rows) <= height:
        return rows
    return [*rows[: max(0, height - 1)], [(f"… {len(rows) - height + 1} more lines", "dim")]]


def activity(facts: Iterable[FactView], height: int) -> list[Pieces]:
    """The newest facts, the newest on top; a step's are left out, since its deployment shows them."""
    shown = [fact for fact in facts if not fact.type.startswith("step.")]
    return [[(f"{moment(fact.at)[:5]} ", "dim"), *fact.pieces] for fact in reversed(shown[-height:])]


def outcome(found: DeploymentView) -> Pieces:
    """The line below a deployment's steps: what it waits for, or how it ended."""
    words = found.words
    state = found.state
    if found.final or state == "needs_approval" or found.cancelling:
        return [badge(state), (f"  {words}", "fg")]
    return [(said(state), ink(state)), (f"  {words}", "muted")]
