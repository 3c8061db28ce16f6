"""`dg config`: the settings in force, and the page that explains them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dg.cli.options import Group, Invocation, pass_invocation
from dg.cli.output import Meaning, Text

if TYPE_CHECKING:
    from dg.settings import Loaded, Settings
    from dg.settings.leaves import Leaf


@click.command(cls=Group)
def config() -> None:
    """Show and explain the settings."""


@config.command()
@pass_invocation
def show(invocation: Invocation) -> None:
    """Print every setting in force and where its value comes from. Secrets are masked."""
    loaded, output = invocation.settings(), invocation.output
    settings = list(in_force(loaded))
    if output.json:
        for path, value, origin in settings:
            output.record({"setting": path, "value": value, "origin": origin})
        return
    output.table([_row(*setting) for setting in settings], header=("SETTING", "VALUE", "FROM"))


@config.command()
def reference() -> None:
    """Print the reference page of all settings as Markdown."""
    click.echo(reference_page(), nl=False)


def in_force(loaded: Loaded) -> Iterator[tuple[str, str, str]]:
    """Path, value as it is written, origin."""
    from dg.settings.leaves import leaves

    yield "home", str(loaded.settings.home), loaded.origins["home"]
    for leaf in leaves():
        yield leaf.path, leaf.written(leaf.value(loaded.settings)), loaded.origins[leaf.path]


def _row(path: str, value: str, origin: str) -> tuple[Text, Text, Text]:
    return (
        (path, value, (origin, Meaning.DIM))
        if origin == "default"
        else (path, (value, Meaning.STRONG), origin)
    )


REFERENCE_HEAD = """\
# Settings

Printed by `dg config reference` from the tree in `src/dg/settings/`.

A value is looked for in this order: the command's flag, the environment variable, `server.toml` in the home,
the default. A key or a variable that is not listed here is refused: a typing mistake is found at the start.

- Durations are written as `15m`, `1h30m`, `500ms` or a number of seconds.
- Sizes are written as `16 KiB`, `2 MiB` or a number of bytes.
- Rates are written as `600/1m`, requests in a window of whole seconds, or `off`.
- Lists in the environment have spaces or commas between the words.
- Tables, and lists of them, are written in the environment as in one line of TOML.
- An empty variable unsets an optional value.

The home is the folder given by `--home` or `DG_HOME`, else `$XDG_DATA_HOME/dg`, else `~/.local/share/dg`.
"""


def reference_page() -> str:
    """The text of `docs/settings.md`."""
    from dg.settings import Settings
    from dg.settings.leaves import leaves

    defaults = Settings(home=Path("/"))
    sections = groupby(leaves(), key=lambda leaf: leaf.path.rpartition(".")[0])
    return REFERENCE_HEAD + "".join(_section(table, list(found), defaults) for table, found in sections)


def _section(table: str, found: list[Leaf], defaults: Settings) -> str:
    head = f"\n## `[{table}]`\n\n| key | default | environment | meaning |\n| --- | --- | --- | --- |\n"
    return head + "".join(_entry(leaf, leaf.written(leaf.value(defaults))) for leaf in found)


def _entry(leaf: Leaf, default: str) -> str:
    key = leaf.path.rpartition(".")[2]
    variable = "-" if leaf.unit == "tables" else f"`{leaf.variable}`"
    meaning = " ".join((leaf.field.description or "").split())
    return f"| `{key}` | `{default}` | {variable} | {meaning} |\n"
