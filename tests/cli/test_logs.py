"""Log lines as they are printed for a person who watches."""

from __future__ import annotations

import io

from tests.cli.test_progress import Terminal

from dg.cli.logs import Printer
from dg.cli.output import Output
from dg.core.deployments.models import LogLine, LogPage, Step

STEPS = [Step(index=0, name="image", phase="build"), Step(index=1, name="rollout", phase="deploy")]


def page(*lines: tuple[int | None, str], left_out: int = 0) -> LogPage:
    items = tuple(LogLine(seq=seq, at=0, step=step, text=text) for seq, (step, text) in enumerate(lines))
    return LogPage(items=items, next_seq=len(items), left_out=left_out)


def test_a_terminal_sees_which_step_says_what() -> None:
    stream = Terminal()
    printer = Printer(Output(stream, json=False, environ={"NO_COLOR": "1"}), STEPS)
    printer.page(page((None, "fetched"), (0, "one"), (0, "two")))
    printer.page(page((0, "three"), (1, "four"), left_out=7))
    assert stream.getvalue().splitlines() == [
        "── checkout",
        "fetched",
        "── image",
        "one",
        "two",
        "… 7 lines left out …",
        "three",
        "── rollout",
        "four",
    ]


def test_another_program_gets_the_lines_alone() -> None:
    stream = io.StringIO()
    Printer(Output(stream, json=False, environ={}), STEPS).page(page((0, "one"), (1, "two")))
    assert stream.getvalue() == "one\ntwo\n"
