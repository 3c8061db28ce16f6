"""`dg keys`: the keys of a home that seal its secrets, while its server is down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from dg.cli.errors import ExitCode
from dg.cli.options import Group, Invocation, pass_invocation

if TYPE_CHECKING:
    from dg.core.access.models import Principal
    from dg.core.environments.vault import Wholeness
    from dg.core.sealed import Keyring


@click.command(cls=Group)
def keys() -> None:
    """Make, check and rotate the key that seals this home's secrets; its server must be down."""


@keys.command()
@pass_invocation
def init(invocation: Invocation) -> None:
    """Make the key of this home, before its first start. One that is there already stays."""
    from dg.core.custody import Custody
    from dg.core.home import Home

    _on_its_machine(invocation)
    settings = invocation.settings().settings
    Home(settings.home).make()
    made = Custody(settings.keys, settings.home, invocation.environ).make()
    output = invocation.output
    if output.json:
        output.record({"made": str(made)})
    else:
        output.line(output.glyph("ok"), f"{made} holds the key that seals this home's secrets;")
        output.line("  ", "keep a copy elsewhere than the backups: without it nobody opens them again")


@keys.command()
@pass_invocation
def new(invocation: Invocation) -> None:
    """Print a new key, for a vault that keeps it: `dg keys new | vault kv put secret/dg envelope=-`."""
    from dg.core.keys import fresh

    stream = invocation.output.stream
    if stream.isatty():
        raise click.UsageError("a key belongs in no terminal: pipe it to what keeps it; see `dg keys init`")
    stream.write(fresh())


@keys.command()
@pass_invocation
def check(invocation: Invocation) -> None:
    """Say whether everything that is sealed opens, and what an older key sealed."""
    from dg.cli.local import with_core

    _on_its_machine(invocation)
    place, found, sealing = with_core(invocation, lambda core: _checked(core.keyring))
    output = invocation.output
    if output.json:
        told = {"key": place, "sealed": found.sealed, "older": found.older, "broken": list(found.broken)}
        output.record({**told, "sealing_key": sealing} if sealing else told)
    elif not found.broken:
        said = f"{found.sealed} sealed, {found.older} of them with an older key than the newest of {place}"
        output.line(output.glyph("ok"), said)
        output.line("  ", f"clients seal secrets for the key {sealing}")
    else:
        output.line(output.glyph("fail"), f"{len(found.broken)} of {found.sealed} do not open:")
        for each in found.broken:
            output.line("  ", each)
    if found.broken:
        raise SystemExit(ExitCode.FAILED)


async def _checked(keyring: Keyring) -> tuple[str, Wholeness, str | None]:
    found = await keyring.check()
    return keyring.place, found, None if found.broken else await keyring.sealing_key()


@keys.command()
@pass_invocation
def rotate(invocation: Invocation) -> None:
    """Make a new key, and seal everything with it. The older keys stay, for older backups.

    Where a variable or a command gives the key, put the new one there first (`dg keys new`).
    """
    _seal_anew(invocation, lambda keyring, by: keyring.rotate(by))


@keys.command()
@pass_invocation
def rewrap(invocation: Invocation) -> None:
    """Seal with the newest key what older ones sealed: the rest of a rotation that was interrupted."""
    _seal_anew(invocation, lambda keyring, by: keyring.rewrap(by))


def _seal_anew(invocation: Invocation, work: Callable[[Keyring, Principal], Awaitable[int]]) -> None:
    from dg.cli.local import owner, with_core

    _on_its_machine(invocation)

    async def done(keyring: Keyring) -> tuple[int, str]:
        return await work(keyring, owner()), keyring.place

    count, place = with_core(invocation, lambda core: done(core.keyring))
    output = invocation.output
    if output.json:
        output.record({"key": place, "sealed": count})
    else:
        output.line(output.glyph("ok"), f"{count} sealed anew with the newest key of {place}")


def _on_its_machine(invocation: Invocation) -> None:
    if invocation.url:
        raise click.UsageError("keys are worked on where the home is; leave --url out.")
