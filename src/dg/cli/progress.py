"""A deployment under way: a view that is drawn again on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dg.cli.output import Meaning, Output, Text, fitted, width
from dg.cli.words import SECOND, version
from dg.client.words import duration

if TYPE_CHECKING:
    from dg.core.deployments.models import Progress, Step

BAR = 30
UP, CLEAR = "\x1b[{}F", "\x1b[J"
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"

Row = Sequence[Text]


class View:
    """Shows one deployment's progress until it ends, `with` the cursor hidden on a terminal."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._drawn = 0
        self._last: Progress | None = None

    def show(self, progress: Progress, now: int) -> None:
        """Bring the view up to date; `now` is in microseconds."""
        if self._output.terminal:
            size = shutil.get_terminal_size()
            self._draw(
                [fit(row, size.columns - 1) for row in picture(progress, self._output, now, size.lines - 1)]
            )
        else:
            for row in news(self._last, progress, self._output):
                self._output.line(*row)
            self._output.stream.flush()
        self._last = progress

    def _draw(self, rows: Sequence[Row]) -> None:
        stream = self._output.stream
        stream.write((UP.format(self._drawn) if self._drawn else "") + CLEAR)
        for row in rows:
            self._output.line(*row)
        stream.flush()
        self._drawn = len(rows)

    def __enter__(self) -> View:
        if self._output.terminal:
            self._output.stream.write(HIDE)
        return self

    def __exit__(self, *_: object) -> None:
        if self._output.terminal:
            self._output.stream.write(SHOW)
            self._output.stream.flush()


def picture(progress: Progress, output: Output, now: int, lines: int) -> list[Row]:
    """The whole view as rows, at most `lines` of them: steps that do not matter now are left out first."""
    steps = [_step(step, progress.steps, output, now) for step in _nearest(progress.steps, lines - 4)]
    tail = [
        [("  │", Meaning.DIM), (line.expandtabs(4), Meaning.DIM)] for line in progress.logs[-1:] if lines > 3
    ]
    # At the end a sentence follows that says it all.
    live = [] if progress.deployment.completed_at else [_bar(progress, output, now), *tail]
    return [title(progress), *steps, *live]


def title(progress: Progress) -> Row:
    """What goes where."""
    deployment = progress.deployment
    kind = [] if deployment.kind.value == "deploy" else [(deployment.kind.value, Meaning.WARN)]
    name = (f"{deployment.service} {version(deployment)}", Meaning.STRONG)
    return [
        *kind,
        name,
        "→",
        (deployment.environment.value, Meaning.STRONG),
        (f"#{deployment.number}", Meaning.DIM),
    ]


def _nearest(steps: Sequence[Step], room: int) -> Sequence[Step]:
    if len(steps) <= room:
        return steps
    at = next((step.index for step in steps if step.status.value in {"running", "pending"}), len(steps))
    first = max(0, min(at - room // 2, len(steps) - room))
    return steps[first : first + max(room, 0)]


def _step(step: Step, steps: Sequence[Step], output: Output, now: int) -> Row:
    glyph, meaning = output.glyph(step.status.value)
    size = max(width(each.name) for each in steps)
    name = step.name + " " * (size - width(step.name))
    name_text: Text = (name, Meaning.DIM) if step.status.value in {"pending", "skipped"} else name
    return ["", (glyph, meaning), name_text, (f"{step.phase:<6}", Meaning.DIM), *_timing(step, now)]


def _timing(step: Step, now: int) -> Row:
    if step.status.value == "running":
        spent = duration((now - step.started_at) / SECOND) if step.started_at is not None else ""
        usual = f" of about {duration(step.expected)}" if step.expected is not None else ""
        return [(spent + usual, Meaning.BUSY)]
    detail: Row = [(step.detail, Meaning.ERR)] if step.detail and step.status.value == "failed" else []
    return [*([] if step.seconds is None else [duration(step.seconds)]), *detail]


def _bar(progress: Progress, output: Output, now: int) -> Row:
    deployment = progress.deployment
    state = output.status(deployment.status.value)
    if deployment.status.value == "pending":
        return ["", state, deployment.hold or ""]
    full, empty = ("━", "─") if output.encodes("━") else ("#", "-")
    filled = round(BAR * min(max(progress.progress, 0), 100) / 100)
    _, meaning = output.glyph(deployment.status.value)
    bar = (full * filled + empty * (BAR - filled), meaning)
    stop: Row = (
        [("cancelling", Meaning.WARN)]
        if deployment.cancel_requested_at and not deployment.completed_at
        else []
    )
    return ["", state, bar, f"{progress.progress:3.0f} %", *_left(progress, now), *stop]


def _left(progress: Progress, now: int) -> Row:
    if progress.estimated_completion is None or progress.deployment.completed_at is not None:
        return []
    seconds = (progress.estimated_completion - now) / SECOND
    return [(f"{duration(seconds)} left" if seconds >= 1 else "any moment now", Meaning.DIM)]


def news(before: Progress | None, after: Progress, output: Output) -> Iterator[Row]:
    """What happened between two looks, one row for each fact: what ended, where it stands, what began."""
    deployment, old = after.deployment, before.deployment if before else None
    known = {step.index: step.status for step in before.steps} if before else {}
    fresh = [step for step in after.steps if known.get(step.index, step.status.PENDING) != step.status]
    if old is None:
        yield title(after)
    yield from (_told(step, output) for step in fresh if step.status.value != "running")
    moved = old is None or (old.status, old.hold) != (deployment.status, deployment.hold)
    if moved and deployment.status.value in {"pending", "building", "deploying"}:
        yield [output.status(deployment.status.value), *([deployment.hold] if deployment.hold else [])]
    yield from (_told(step, output) for step in fresh if step.status.value == "running")


def _told(step: Step, output: Output) -> Row:
    took = [] if step.seconds is None else [duration(step.seconds)]
    said = [step.detail] if step.detail else []
    return [output.glyph(step.status.value), step.name, step.status.value, *took, *said]


def fit(row: Row, columns: int) -> Row:
    """A row that takes at most `columns` cells, its parts a space apart."""
    kept: list[Text] = []
    for part in row:
        text = part if isinstance(part, str) else part[0]
        if columns <= 0:
            break
        cut = fitted(text, columns)
        kept.append(cut if isinstance(part, str) else (cut, part[1]))
        columns -= width(cut) + 1
    return kept
