"""`dg keys`: the keys of a home that seal its secrets, while its server is down."""

from __future__ import annotations

import click

from dg.cli.errors import ExitCode
from dg.cli.options import Group, Invocation, pass_invocation


@click.command(cls=Group)
def keys() -> None:
    """Check and rotate the keys that seal this home's secrets; its server must be down."""


@keys.command()
@pass_invocation
def check(invocation: Invocation) -> None:
    """Say whether everything that is sealed opens, and what an older key sealed."""
    from dg.cli.local import with_core

    _on_its_machine(invocation)
    found = with_core(invocation, lambda core: core.keyring.check())
    output = invocation.output
    if output.json:
        output.record({"sealed": found.sealed, "older": found.older, "broken": list(found.broken)})
    elif not found.broken:
        output.line(output.glyph("ok"), f"{found.sealed} sealed, {found.older} of them with an older key")
    else:
        output.line(output.glyph("fail"), f"{len(found.broken)} of {found.sealed} do not open:")
        for place in found.broken:
            output.line("  ", place)
    if found.broken:
        raise SystemExit(ExitCode.FAILED)


@keys.command()
@pass_invocation
def rotate(invocation: Invocation) -> None:
    """Make a new key, and seal everything with it. The older keys stay, for older backups."""
    from dg.cli.local import owner, with_core

    _on_its_machine(invocation)
    _say(invocation, with_core(invocation, lambda core: core.keyring.rotate(owner())))


@keys.command()
@pass_invocation
def rewrap(invocation: Invocation) -> None:
    """Seal with the newest key what older ones sealed: the rest of a rotation that was interrupted."""
    from dg.cli.local import owner, with_core

    _on_its_machine(invocation)
    _say(invocation, with_core(invocation, lambda core: core.keyring.rewrap(owner())))


def _on_its_machine(invocation: Invocation) -> None:
    if invocation.url:
        raise click.UsageError("keys are worked on where the home is; leave --url out.")


def _say(invocation: Invocation, count: int) -> None:
    output = invocation.output
    if output.json:
        output.record({"sealed": count})
    else:
        output.line(output.glyph("ok"), f"{count} sealed anew with the newest key of keys/envelope.key")
