"""`dg completion`: the shell's side of completing commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from dg.cli.main import COMPLETE
from dg.cli.options import Command, Invocation, pass_invocation


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@pass_invocation
@click.pass_context
def completion(context: click.Context, invocation: Invocation, shell: str) -> None:
    """Print a script that lets the shell complete commands and options.

    For bash, put `eval "$(dg completion bash)"` into ~/.bashrc.

    For zsh the same line goes into ~/.zshrc; for fish, `dg completion fish | source` into config.fish.
    """
    found = get_completion_class(shell)
    if found is None:
        raise click.ClickException(f"click knows no {shell}")
    script = found(context.find_root().command, {}, "dg", COMPLETE).source()
    click.echo(script, nl=False)
