"""`dg do`: a line of words ends in the same request as the command that it stands for."""

from __future__ import annotations

from dataclasses import replace

import click
import pytest
from tests.cli.conftest import ScriptedApi
from tests.client import samples

from dg.cli.errors import ExitCode
from dg.cli.main import dg, run
from dg.cli.options import Invocation
from dg.core.grammar import VERBS, Misread, arguments, commands, parse

ID = samples.ID
Captured = pytest.CaptureFixture[str]
OfAChannel = commands.Mute | commands.Unmute | commands.Subscribe | commands.Unsubscribe


@pytest.mark.parametrize("example", [verb.example for verb in VERBS if verb.name != "help"])
def test_every_verb_is_a_command_of_the_command_line(example: str) -> None:
    found = parse(example)
    assert not isinstance(found, Misread)
    if isinstance(found, OfAChannel):
        # In Slack it is the one where it is said; a shell is in none.
        found = replace(found, channel="C0DEPLOYS01")
    left, command = arguments(found), click.Group.get_command
    context = dg.make_context("dg", left, obj=Invocation({}))
    name, inner, rest = dg.resolve_command(context, [*context._protected_args, *context.args])
    assert name is not None
    assert isinstance(inner, click.Command)
    if isinstance(inner, click.Group):
        inner = command(inner, context, rest.pop(0))
        assert inner is not None
    inner.make_context(name, rest, parent=context)


@pytest.mark.parametrize("line", ["mute for 2h", "unmute", "subscribe api", "unsubscribe api"])
def test_a_shell_is_asked_which_channel_it_means(line: str, capsys: Captured) -> None:
    assert run(["do", line]) == ExitCode.USAGE
    assert "A shell is in no channel: name one by its id" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        ["deploy web v1.4.2 to production because 'spring prices'"],
        ["deploy", "web", "v1.4.2", "to", "production", "because", "spring prices"],
    ],
)
def test_a_line_deploys(api: ScriptedApi, line: list[str]) -> None:
    api.on("POST /deployments", samples.deployment(), status=201)
    api.on(f"GET /deployments/{ID}", samples.deployment())
    assert run(["do", *line]) == ExitCode.OK
    (asked,) = api.requests("POST /deployments")
    assert (asked.body["service"], asked.body["ref"], asked.body["environment"]) == (
        "web",
        "v1.4.2",
        "production",
    )
    assert asked.body["note"].strip("'") == "spring prices"


def test_options_of_the_command_line_count_too(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"GET /deployments/{ID}", samples.deployment())
    api.on(f"POST /deployments/{ID}/reject", samples.deployment(status="failed", reason="rejected"))
    assert run(["do", "--json", f"reject {ID} because no"]) == ExitCode.OK
    assert capsys.readouterr().out.startswith("{")


def test_a_near_miss_says_what_was_meant(capsys: Captured) -> None:
    assert run(["do", "deply", "web"]) == ExitCode.USAGE
    assert "Did you mean `deploy`?" in capsys.readouterr().err


def test_help_is_the_help_of_the_command(capsys: Captured) -> None:
    assert run(["do", "help lock"]) == ExitCode.OK
    assert "Close a lane" in capsys.readouterr().out


def test_misuse_shows_the_usage_of_the_command_itself(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dg.core.grammar.arguments", lambda found: ["slack", "mute"])
    assert run(["do", "status"]) == ExitCode.USAGE
    assert capsys.readouterr().err.startswith("Usage: dg slack mute [OPTIONS] CHANNEL")
