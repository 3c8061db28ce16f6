"""What every command has: the global options, and the building blocks of commands."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dg.cli.output import Output
from dg.core.errors import Invalid

if TYPE_CHECKING:
    from dg.settings import Loaded


@dataclass
class Invocation:
    """One run of `dg`: what the global options and the environment say."""

    environ: Mapping[str, str]
    json: bool = False
    home: Path | None = None
    url: str | None = None

    @property
    def output(self) -> Output:
        """Where results go: JSON lines with `--json`, else text."""
        return Output(sys.stdout, json=self.json, environ=self.environ)

    def settings(self, overrides: Mapping[str, object] | None = None) -> Loaded:
        """The settings of the home in question; `overrides` are flags by path. Raises Invalid."""
        from dg.core.deployments.gates import demands
        from dg.settings import SettingsError, load

        try:
            loaded = load(self.home, overrides or {}, self.environ)
        except SettingsError as error:
            raise Invalid(f"these settings cannot be used: {error}", reason="settings") from None
        # What is demanded is read by the core alone, and a server does not start where it is wrong.
        demands.of_all(loaded.settings.environments)
        return loaded


pass_invocation = click.make_pass_decorator(Invocation)


def _keep(context: click.Context, option: click.Parameter, value: object) -> None:
    """Set on the invocation, so that an option counts before and after the command's name."""
    if value and option.name:
        setattr(context.find_object(Invocation), option.name, value)


def global_options() -> list[click.Parameter]:
    """Accepted by `dg` itself and by every command."""
    return [
        click.Option(["--json"], is_flag=True, expose_value=False, callback=_keep, help="Print JSON lines."),
        click.Option(
            ["--home"],
            type=click.Path(path_type=Path, file_okay=False),
            expose_value=False,
            callback=_keep,
            help="The server's folder [DG_HOME].",
        ),
        click.Option(
            ["--url"],
            expose_value=False,
            callback=_keep,
            help="The server's address [DG_URL]; DG_TOKEN opens it.",
        ),
    ]


class Command(click.Command):
    """A command that takes the global options too. Its function may return the exit code."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(global_options())


class Group(click.Group):
    """A command with commands of its own, as in `dg config show`."""

    command_class = Command
    group_class = type

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(global_options())

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Whole first sentences: click's own list cuts them to one line."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary(command)) for name, command in found if command])


def summary(command: click.Command) -> str:
    """The first sentence of what a command does."""
    return command.get_short_help_str(sys.maxsize)
