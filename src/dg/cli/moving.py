"""`dg migrate-to`: from the SQLite files of a home to a PostgreSQL database."""

from __future__ import annotations

import click

from dg.cli.options import Command, Invocation, pass_invocation
from dg.cli.output import Meaning


@click.command(
    "migrate-to",
    cls=Command,
    epilog="""\b
Examples:
  createdb dg && dg migrate-to postgresql://dg@db.example.com/dg
  dg migrate-to            # to database.url (or url_file) of the settings""",
)
@click.argument("target", metavar="[URL]", required=False)
@pass_invocation
def migrate_to(invocation: Invocation, target: str | None) -> None:
    """Copy this home into the empty PostgreSQL database at URL.

    The server must be down. Everything is copied in one transaction and checked, or nothing is. The SQLite
    files stay as they are.
    """
    from dg.core.moving import move

    if invocation.url:
        raise click.UsageError("a home is moved on its own machine; leave --url out.")
    settings = invocation.settings().settings
    moved = move(settings, target)
    output = invocation.output
    if output.json:
        head = {"seq": moved.head.seq, "hash": moved.head.hash}
        output.record({"database": moved.database, "rows": moved.rows, "head": head})
        return
    output.line(output.glyph("ok"), f"{settings.home} is copied to the {moved.database}")
    output.table([[(f"  {name}", Meaning.DIM), str(count)] for name, count in moved.rows.items() if count])
    output.line(f"The ledger is whole there, up to entry {moved.head.seq}.")
    if settings.database.in_home:
        output.line("Next: set database.url in server.toml (or database.url_file), and start the server.")
    output.line(
        f"dg.db and logs.db in {settings.home} were left as they are: put them away once the server runs,",
        "so that nobody starts it on them again.",
    )
