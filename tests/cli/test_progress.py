"""The view of a deployment under way, as rows, and as it is drawn on a terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from tests.cli.test_deployments import step
from tests.client import samples

from dg.cli.output import Meaning, Output, Text, width
from dg.cli.progress import View, fit, picture
from dg.client.wire import decode
from dg.core.deployments.models import Progress

START = 1_795_676_400_000_000
SECOND = 1_000_000


class Terminal(io.StringIO):
    """A stream that says it is one."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def progress(*steps: dict[str, Any], status: str = "deploying", **changed: Any) -> Progress:
    whole = samples.deployment(
        **{"status": status, "started_at": "2026-11-26T07:00:00Z", **changed.pop("deployment", {})}
    )
    answer = {
        "id": samples.ID,
        "status": status,
        "progress": 42,
        "logs": [],
        "steps": list(steps),
        "deployment": whole,
    }
    return decode(Progress, {**answer, **changed})


def said(rows: list[Any]) -> list[str]:
    return [" ".join(part if isinstance(part, str) else part[0] for part in row).rstrip() for row in rows]


def output(stream: io.StringIO | None = None, **environ: str) -> Output:
    return Output(stream or Terminal(), json=False, environ=environ)


def test_the_picture_tells_steps_progress_and_the_time_left() -> None:
    seen = progress(
        step(0, "image", "build", "success", seconds=1.25),
        step(1, "rollout", "deploy", "running", started_at="2026-11-26T07:00:02Z", expected=4.0),
        step(2, "smoke", "verify", "pending"),
        logs=["one", "two\tthree"],
        estimated_completion="2026-11-26T07:00:15Z",
    )
    assert said(picture(seen, output(), START + 3 * SECOND, 24)) == [
        "web 1.4.2 (9f1c2ab) → staging #7",
        " ✓ image   build  1.2 s",
        " ↻ rollout deploy 1.0 s of about 4.0 s",
        " · smoke   verify",
        " ↻ deploying ━━━━━━━━━━━━━───────────────── " + " 42 % 12 s left",
        "  │ two three",
    ]


def test_an_ended_one_leaves_the_last_word_to_the_sentence_that_follows() -> None:
    ended = {"status": "failed", "completed_at": "2026-11-26T07:00:09Z"}
    seen = progress(
        step(0, "image", "build", "failed", seconds=1.25, detail="exited with 1"),
        logs=["one"],
        deployment=ended,
    )
    assert said(picture(seen, output(), START, 24)) == [
        "web 1.4.2 (9f1c2ab) → staging #7",
        " ✗ image build  1.2 s exited with 1",
    ]


def test_a_pending_one_says_what_it_waits_for() -> None:
    seen = progress(status="pending", deployment={"hold": "web/staging is busy"})
    assert said(picture(seen, output(), START, 24))[-1] == " · pending web/staging is busy"


def test_steps_that_do_not_fit_leave_those_around_the_running_one() -> None:
    steps = [
        step(n, f"s{n}", "build", "success" if n < 50 else "running" if n == 50 else "pending")
        for n in range(100)
    ]
    rows = said(picture(progress(*steps), output(), START, 12))
    assert len(rows) <= 12
    assert any("s50" in row for row in rows)


@pytest.mark.parametrize("columns", [1, 5, 20, 80])
def test_no_row_is_wider_than_the_terminal(columns: int) -> None:
    row: list[Text] = ["一二三", ("abc", Meaning.OK), "x" * 100]
    assert (
        width(" ".join(part if isinstance(part, str) else part[0] for part in fit(row, columns))) <= columns
    )


def test_a_terminal_is_drawn_over_and_gets_its_cursor_back() -> None:
    stream = Terminal()
    with View(output(stream)) as view:
        view.show(progress(step(0, "image", "build", "running")), START)
        view.show(progress(step(0, "image", "build", "success", seconds=1.0)), START)
    text = stream.getvalue()
    assert text.startswith("\x1b[?25l\x1b[J")
    assert "\x1b[3F\x1b[J" in text
    assert text.endswith("\x1b[?25h")
    assert "\x1b[32m✓\x1b[0m" in text


def test_no_color_keeps_words_and_glyphs() -> None:
    stream = Terminal()
    with View(output(stream, NO_COLOR="1")) as view:
        view.show(progress(step(0, "image", "build", "success", seconds=1.0)), START)
    assert "✓ image" in stream.getvalue()
    assert "\x1b[3" not in stream.getvalue()


def test_hostile_names_cannot_draw() -> None:
    stream = Terminal()
    hostile = "\x1b]0;gone\x07"
    with View(output(stream, NO_COLOR="1")) as view:
        view.show(progress(step(0, hostile, "build", "failed", detail=hostile), logs=[hostile]), START)
    assert "\x1b]" not in stream.getvalue()
    assert stream.getvalue().count("␛]0;gone␇") == 3
