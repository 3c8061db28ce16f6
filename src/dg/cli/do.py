"""`dg do`: the words that people use in Slack and in the dashboard, from a shell."""

from __future__ import annotations

import click

from dg.cli.options import Command


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg do deploy web v1.4.2 to production
  dg do "reject #42 because the migration locks the table"
  dg do help""",
)
@click.argument("words", nargs=-1, required=True)
@click.pass_context
def do(context: click.Context, words: tuple[str, ...]) -> object:
    """Do what a line of words says, as after `/dg` in Slack."""
    from dg.core.errors import Invalid
    from dg.core.grammar import Misread, arguments, commands, parse

    found = parse(_line(words))
    if isinstance(found, Misread):
        raise Invalid(f"{found.message} {found.hint}", reason="misread")
    said_in_one = commands.Mute | commands.Unmute | commands.Subscribe | commands.Unsubscribe
    if isinstance(found, said_in_one) and found.channel is None:
        raise Invalid("A shell is in no channel: name one by its id, such as C0DEPLOYS01.", reason="misread")
    root = context.find_root().command
    with root.make_context("dg", arguments(found), obj=context.obj) as inner:
        return root.invoke(inner)


def _line(words: tuple[str, ...]) -> str:
    """The line, whether the shell was given one word or many; what it kept together stays so."""
    from dg.core.grammar.words import quote

    if len(words) == 1:
        return words[0]
    return " ".join(quote(word) if any(sign.isspace() for sign in word) else word for word in words)
