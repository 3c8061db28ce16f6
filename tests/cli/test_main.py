"""The command line as a whole: what every command shares, and how it ends."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from dg import __version__
from dg.cli import main
from dg.cli.errors import EXIT_CODES, ExitCode, exit_code
from dg.cli.main import COMMANDS, PLACES, run
from dg.cli.options import global_options
from dg.core import errors

DG = [sys.executable, "-m", "dg"]
HEAVY = {
    "pydantic",
    "sqlalchemy",
    "httpx",
    "starlette",
    "uvicorn",
    "apscheduler",
    "jwt",
    "aiosqlite",
    "websockets",
}


def fails_with(problem: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the only command end with `problem`."""

    @click.command()
    def failing() -> None:
        raise problem

    monkeypatch.setattr(main.Lazy, "get_command", lambda *_: failing)


@pytest.mark.parametrize("name", PLACES)
def test_every_command_exists_under_its_name(name: str) -> None:
    module, _, attribute = PLACES[name].partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.get_short_help_str(200)


@pytest.mark.parametrize("name", PLACES)
def test_no_command_takes_a_global_option_for_its_own(name: str) -> None:
    module, _, attribute = PLACES[name].partition(":")
    waiting = [getattr(importlib.import_module(module), attribute)]
    shared = {option.name for option in global_options()}
    while waiting:
        command = waiting.pop()
        names = [each.name for each in command.params]
        assert all(names.count(each) == 1 for each in shared), command.name
        waiting += command.commands.values() if isinstance(command, click.Group) else []


@pytest.mark.parametrize("name", ["", *PLACES])
def test_no_line_of_help_is_cut_or_wider_than_a_terminal(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = main.dg.get_command(click.Context(main.dg), name) if name else main.dg
    assert command is not None
    below = list(command.commands) if isinstance(command, click.Group) and name else []
    for words in ([name], *([name, each] for each in below)):
        assert run([*filter(None, words), "--help"]) == ExitCode.OK
        for line in capsys.readouterr().out.splitlines():
            assert len(line) <= 80, line
            assert not line.endswith("...") or line.startswith("Usage:"), line


@pytest.mark.parametrize("name", PLACES)
def test_every_command_takes_the_global_options(name: str) -> None:
    command = main.dg.get_command(click.Context(main.dg), name)
    assert command is not None
    commands = command.commands.values() if isinstance(command, click.Group) else [command]
    for each in commands:
        options = {option for parameter in each.params for option in parameter.opts}
        assert {"--json", "--home", "--url"} <= options, each.name


def test_help_names_every_command_and_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    for word in (*COMMANDS, *PLACES, *EXIT_CODES.values()):
        assert word in text


def test_help_and_version_import_nothing_heavy() -> None:
    """A command's module keeps what is heavy inside the command."""
    script = (
        "import sys; from dg.cli.main import run; run(['--help']); "
        f"print(sorted({HEAVY} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_version_is_answered_without_the_command_line() -> None:
    script = (
        "import sys; sys.argv = ['dg', '--version']; from dg.__main__ import main; main(); "
        "assert 'click' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"dg {__version__}\n"


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (errors.Invalid("no"), ExitCode.USAGE),
        (errors.Mismatch("no"), ExitCode.USAGE),
        (errors.Refused("no"), ExitCode.REFUSED),
        (errors.TooMany("no"), ExitCode.REFUSED),
        (errors.Unauthenticated("no"), ExitCode.REFUSED),
        (errors.Forbidden("no"), ExitCode.REFUSED),
        (errors.NotFound("no"), ExitCode.REFUSED),
        (errors.Unavailable("no"), ExitCode.UNREACHABLE),
        (errors.Problem("no"), ExitCode.UNREACHABLE),
    ],
)
def test_every_kind_of_problem_has_its_exit_code(problem: errors.Problem, code: ExitCode) -> None:
    assert exit_code(problem) == code


def test_a_problem_is_said_on_stderr_with_its_parts_and_its_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = [{"field": "ref", "message": "unknown\x1b[2J"}]
    fails_with(errors.Refused("The lane is closed.", errors=wrong, hint="see `dg lane`"), monkeypatch)
    assert run(["any"]) == ExitCode.REFUSED
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "dg: The lane is closed.\n    ref unknown␛[2J\n    see `dg lane`\n"


def test_a_mistake_that_the_first_line_names_is_not_said_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = [{"field": "a", "message": "must be 1"}, {"field": "b", "message": "b is required"}]
    fails_with(errors.Invalid("it is not valid: a must be 1 (and 1 more)", errors=wrong), monkeypatch)
    run(["any"])
    assert capsys.readouterr().err == "dg: it is not valid: a must be 1 (and 1 more)\n    b is required\n"


def test_a_problem_under_json_is_the_api_envelope(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fails_with(errors.NotFound("No such deployment.", id="x"), monkeypatch)
    assert run(["--json", "any"]) == ExitCode.REFUSED
    assert json.loads(capsys.readouterr().err) == {
        "error": {
            "code": "NOT_FOUND",
            "message": "No such deployment.",
            "details": {"reason": "not_found", "id": "x"},
        }
    }


def test_misuse_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["no-such-command"]) == ExitCode.USAGE
    assert "No such command" in capsys.readouterr().err
    assert run(["--json", "config", "show", "--no-such-option"]) == ExitCode.USAGE
    assert json.loads(capsys.readouterr().err)["error"]["details"] == {"reason": "usage"}


def test_interruption_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    fails_with(KeyboardInterrupt(), monkeypatch)
    assert run(["any"]) == ExitCode.INTERRUPTED


def test_what_was_not_foreseen_ends_with_70_and_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 is for failed deployments alone."""
    fails_with(ZeroDivisionError("a defect"), monkeypatch)
    monkeypatch.setattr(sys, "argv", ["dg", "any"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == ExitCode.INTERNAL
    assert "ZeroDivisionError: a defect" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as output:
        done = subprocess.run(
            [*DG, "--home", tmp_path, "config", "show"],
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (ExitCode.BROKEN_PIPE, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_shell_s_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert "_DG_COMPLETE" in capsys.readouterr().out


def test_completion_finds_commands() -> None:
    environ = {**os.environ, "_DG_COMPLETE": "bash_complete", "COMP_WORDS": "dg doc", "COMP_CWORD": "1"}
    done = subprocess.run(DG, env=environ, capture_output=True, text=True, check=False)
    assert done.stdout == "plain,doctor\n"
