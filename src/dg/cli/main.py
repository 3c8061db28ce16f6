"""The process root: finds the command, and turns its end into an exit code.

A command's module is imported when the command is used, and what is heavy when the command runs.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click
from click.shell_completion import shell_complete

from dg import __version__
from dg.cli.errors import EXIT_CODES, ExitCode, report
from dg.cli.options import Group, Invocation, summary
from dg.core.errors import Invalid, Problem

COMMANDS = {
    "First steps": {
        "sandbox": "dg.cli.sandbox:sandbox",
        "init": "dg.cli.init:init",
    },
    "Deployments": {
        "plan": "dg.cli.previews:plan",
        "deploy": "dg.cli.deployments:deploy",
        "status": "dg.cli.deployments:status",
        "tui": "dg.cli.tui:tui",
        "web": "dg.cli.web:web",
        "health": "dg.cli.health:health",
        "status-page": "dg.cli.status_page:status_page",
        "show": "dg.cli.deployments:show",
        "logs": "dg.cli.deployments:logs",
        "diff": "dg.cli.approvals:diff",
        "approve": "dg.cli.approvals:approve",
        "reject": "dg.cli.approvals:reject",
        "override": "dg.cli.approvals:override",
        "cancel": "dg.cli.deployments:cancel",
        "rollback": "dg.cli.deployments:rollback",
        "retry": "dg.cli.recovery:retry",
        "abandon": "dg.cli.recovery:abandon",
        "do": "dg.cli.do:do",
    },
    "What may be deployed, and how": {
        "why": "dg.cli.lanes:why",
        "lane": "dg.cli.lanes:lane",
        "freeze": "dg.cli.lanes:freeze",
        "thaw": "dg.cli.lanes:thaw",
        "pipeline": "dg.cli.pipelines:pipeline",
        "env": "dg.cli.environments:env",
        "secret": "dg.cli.secrets:secret",
        "probe": "dg.cli.probes:probe",
    },
    "What happened": {
        "handover": "dg.cli.handover:handover",
        "events": "dg.cli.events:events",
        "audit": "dg.cli.events:audit",
        "receipt": "dg.cli.receipts:receipt",
        "dora": "dg.cli.figures:dora",
    },
    "Who may do what": {
        "login": "dg.cli.login:login",
        "logout": "dg.cli.login:logout",
        "whoami": "dg.cli.login:whoami",
        "can-i": "dg.cli.access:can_i",
        "session": "dg.cli.sessions:session",
        "token": "dg.cli.tokens:token",
        "key": "dg.cli.keys:key",
        "role": "dg.cli.access:role",
        "binding": "dg.cli.access:binding",
    },
    "The server": {
        "serve": "dg.cli.serve:serve",
        "backup": "dg.cli.backup:backup",
        "restore": "dg.cli.backup:restore",
        "keys": "dg.cli.keyring:keys",
        "migrate-to": "dg.cli.moving:migrate_to",
        "limits": "dg.cli.limits:limits",
        "webhook": "dg.cli.webhooks:webhook",
        "slack": "dg.cli.slack:slack",
        "config": "dg.cli.config:config",
        "contracts": "dg.cli.contracts:contracts",
        "mock": "dg.cli.mock:mock",
        "slack-sim": "dg.cli.slack_sim:slack_sim",
        "doctor": "dg.cli.doctor:doctor",
    },
    "The shell": {
        "completion": "dg.cli.completion:completion",
    },
}
"""Every command by heading: its name, and the module and object that it is."""

PLACES = {name: place for section in COMMANDS.values() for name, place in section.items()}


COMPLETE = "_DG_COMPLETE"
"""The variable in which the shell asks for completions."""


class Lazy(Group):
    """Commands that are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(PLACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in PLACES:
            return None
        module, _, name = PLACES[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, section in COMMANDS.items():
            found = [(name, self.get_command(ctx, name)) for name in section]
            with formatter.section(heading):
                formatter.write_dl([(name, summary(command)) for name, command in found if command])
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), meaning) for code, meaning in EXIT_CODES.items()])


@click.command(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dg", message="%(prog)s %(version)s")
def dg() -> None:
    """Deploys, guards and rolls back."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and give its exit code."""
    invocation = Invocation(os.environ)
    try:
        result = _invoke(sys.argv[1:] if arguments is None else list(arguments), invocation)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except Problem as problem:
        return report(problem, invocation.output, sys.stderr)
    except click.ClickException as error:
        return _misuse(error, invocation)
    except (KeyboardInterrupt, click.Abort):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has left; without this, Python complains about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.BROKEN_PIPE
    return result if isinstance(result, int) else ExitCode.OK


def _invoke(arguments: list[str], invocation: Invocation) -> object:
    # Not `dg.main(...)`, which ends with 1 when the reader of the output has left.
    if instruction := os.environ.get(COMPLETE):
        return shell_complete(dg, {}, "dg", COMPLETE, instruction)
    with dg.make_context("dg", arguments, obj=invocation) as context:
        return dg.invoke(context)


def _misuse(error: click.ClickException, invocation: Invocation) -> int:
    if invocation.json:
        return report(Invalid(error.format_message(), reason="usage"), invocation.output, sys.stderr)
    error.show()
    return ExitCode.USAGE


def main() -> None:
    """The console script. Anything unforeseen ends with a traceback and exit code 70, never with 1."""
    try:
        code = run()
    except Exception:  # noqa: BLE001  the last line of defence keeps exit code 1 for failed deployments
        sys.excepthook(*sys.exc_info())
        code = ExitCode.INTERNAL
    sys.exit(code)
