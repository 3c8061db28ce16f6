"""How the sandbox's facts look: one aligned line each, harmless, and JSON for programs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from dg.cli.options import Invocation
from dg.cli.output import Output
from dg.cli.sandbox import Lines, Records, can_show_dashboard, hung, rows
from dg.sandbox.home import SandboxHome
from dg.sandbox.scene import Fact


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


LONG = Fact("locked", 12.34, "shop/production is locked: " + "because of it " * 20, "production")
DEPLOYED = Fact("deployed", 1.26, "v1.0.0 runs", "staging", "build 0.4, deploy 0.3, verify 0.5", 1.18)


def lines(fact: Fact, columns: int) -> list[str]:
    stream = io.StringIO()
    output = Output(stream, json=False, environ={})
    for row in rows(fact, output, columns):
        output.line(*row)
    return stream.getvalue().splitlines()


def test_fact_is_one_aligned_line() -> None:
    assert lines(DEPLOYED, 80) == [
        "   1.3 s  ✓ staging      v1.0.0 runs  build 0.4, deploy 0.3, verify 0.5    1.2 s"
    ]


def test_aside_gives_way_in_a_narrow_terminal() -> None:
    assert lines(DEPLOYED, 60) == ["   1.3 s  ✓ staging      v1.0.0 runs                   1.2 s"]


def test_sentence_of_a_commands_table_is_wrapped_under_its_column() -> None:
    assert hung("window  closed  " + "until the stock is counted " * 3, 60) == [
        "window  closed  until the stock is counted until the stock",
        "                is counted until the stock is counted",
    ]


def test_narrow_column_of_a_commands_table_is_cut() -> None:
    assert hung("verify  smoke     about 0.3 s  python3 ops/smoke.py", 40) == [
        "verify  smoke     about 0.3 s  python3 …"
    ]


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize(
    "fact",
    [
        *(Fact("ready", 1, "x" * size, "server", seconds=0.2) for size in (26, 27, 46, 47)),
        *(LONG, DEPLOYED, Fact("check", 1, "x" * 500), Fact("log", 1, "word " * 90)),
        *(Fact("output", 1, "gate  " + "x" * 500), Fact("output", 1, "word " * 90)),
    ],
)
def test_no_line_is_wider_than_the_terminal(fact: Fact, columns: int) -> None:
    assert all(len(line) <= columns for line in lines(fact, columns))


def test_text_from_outside_cannot_act_on_the_terminal() -> None:
    for name in ("log", "check", "commit", "command", "output", "deployed", "locked"):
        (line,) = lines(Fact(name, 1, "\x1b[2Jevil\r", "staging", "\x1b]0;x\x07"), 120)
        assert line.isprintable()


def test_what_goes_on_is_shown_on_terminals_only() -> None:
    for stream, expected in ((io.StringIO(), ""), (Terminal(), "\r   1.0 s  ↻ staging      v1 build\x1b[K")):
        Lines(Output(stream, json=False, environ={})).busy("staging", "v1 build", 1.0)
        assert stream.getvalue() == expected


def test_records_are_json_lines_with_the_facts_details() -> None:
    stream = io.StringIO()
    fact = Fact("deployed", 1.23456, "v1 runs", "staging", "aside", 0.5, {"version": "v1"})
    Records(Output(stream, json=True, environ={})).tell(fact)
    assert json.loads(stream.getvalue()) == {
        "fact": "deployed",
        "at": 1.235,
        "where": "staging",
        "text": "v1 runs",
        "seconds": 0.5,
        "version": "v1",
    }


def test_the_dashboard_is_announced_with_the_way_out_of_it(tmp_path: Path) -> None:
    said = io.StringIO()
    lines = Lines(Output(said, json=False, environ={}), dashboard=True)
    lines.begin(SandboxHome(tmp_path, passing=True))
    lines.tell(Fact("end", 20.0, "it ends"))
    lines.lead_in()
    assert said.getvalue().splitlines()[-1].endswith("q leaves it and ends the sandbox.")
    assert "--keep" not in said.getvalue()


@pytest.mark.parametrize(
    ("json", "input_is", "output_is", "term", "opens"),
    [
        (False, Terminal(), Terminal(), "xterm-256color", True),
        (True, Terminal(), Terminal(), "xterm-256color", False),
        (False, io.StringIO(), Terminal(), "xterm-256color", False),
        (False, Terminal(), io.StringIO(), "xterm-256color", False),
        (False, Terminal(), Terminal(), "dumb", False),
        (False, Terminal(), Terminal(), "", False),
    ],
)
def test_only_a_person_at_a_terminal_gets_the_dashboard(
    monkeypatch: pytest.MonkeyPatch,
    json: bool,
    input_is: io.StringIO,
    output_is: io.StringIO,
    term: str,
    opens: bool,
) -> None:
    monkeypatch.setattr("sys.stdin", input_is)
    monkeypatch.setattr("sys.stdout", output_is)
    assert can_show_dashboard(Invocation({"TERM": term}, json=json)) is opens
