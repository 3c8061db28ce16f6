"""`dg backup` and `dg restore`: a whole home as one file, and a home of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dg.cli.options import Command, Invocation, pass_invocation
from dg.cli.output import Meaning, Output

if TYPE_CHECKING:
    from dg.core.backup.models import Manifest, Restored, Taken
    from dg.core.deployments.models import Deployment
    from dg.settings import Settings

MEBIBYTE = 1 << 20


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg backup /mnt/backups/dg-$(date +%F).tar.gz
  dg backup --with-secrets /mnt/safe/dg.tar.gz""",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--with-secrets", is_flag=True, help="Put the keys and the secrets file in too; keep such a FILE as safe."
)
@pass_invocation
def backup(invocation: Invocation, file: Path, with_secrets: bool) -> None:
    """Write this home to FILE; its server and its deployments go on."""
    from dg.core import backup as backups
    from dg.core.clock import SystemClock

    clock = SystemClock()
    began = clock.monotonic()
    settings = _home_settings(invocation)
    taken = asyncio.run(
        backups.take(settings, file.absolute(), clock=clock, environ=invocation.environ, secrets=with_secrets)
    )
    _show_taken(taken, clock.monotonic() - began, invocation.output)


@click.command(
    cls=Command,
    epilog="""\b
Example:
  dg restore /mnt/backups/dg-2026-11-26.tar.gz --home /var/lib/dg""",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@pass_invocation
def restore(invocation: Invocation, file: Path) -> None:
    """Make a home from the backup FILE. The home must be empty; all of FILE is checked before.

    What was unfinished when the backup was made ends as interrupted, and nothing starts by itself.
    """
    from dg.core import backup as backups
    from dg.core.clock import SystemClock
    from dg.core.home import Home

    clock = SystemClock()
    began = clock.monotonic()
    home = Home(_home_settings(invocation).home)
    restored = asyncio.run(backups.restore(file, home, clock=clock, environ=invocation.environ))
    _show_restored(restored, clock.monotonic() - began, invocation.output)


def _home_settings(invocation: Invocation) -> Settings:
    """The settings of a home on this machine. Raises UsageError where another machine's server is meant."""
    if invocation.url:
        raise click.UsageError("a home is backed up and restored on its own machine; leave --url out.")
    return invocation.settings().settings


def _show_taken(taken: Taken, seconds: float, output: Output) -> None:
    if output.json:
        output.record(
            {"file": str(taken.path), "bytes": taken.size, "seconds": seconds, **_said(taken.manifest)}
        )
        return
    size = f"{taken.size / MEBIBYTE:.1f} MiB in {seconds:.1f} s"
    output.line(output.glyph("ok"), f"{taken.path}", (size, Meaning.DIM))
    output.table([[(f"  {name}", Meaning.DIM), value] for name, value in _contents(taken.manifest)])
    for name in taken.missing:
        output.line(("  without", Meaning.DIM), name)
    if taken.secret:
        output.line(("It holds keys or secrets: whoever reads it can do what this server can.", Meaning.WARN))
    else:
        output.line("Keys and secrets are not in it; keep them elsewhere, or take one --with-secrets.")


def _show_restored(restored: Restored, seconds: float, output: Output) -> None:
    manifest = restored.manifest
    if output.json:
        ended = {"interrupted": restored.interrupted, "unstarted": restored.unstarted}
        ids = {name: [deployment.id for deployment in found] for name, found in ended.items()}
        output.record({"home": str(restored.path), "seconds": seconds, **_said(manifest), **ids})
        return
    output.line(output.glyph("ok"), f"{restored.path} is restored", (f"in {seconds:.1f} s", Meaning.DIM))
    output.table([[(f"  {name}", Meaning.DIM), value] for name, value in _contents(manifest)])
    for deployment in restored.interrupted:
        output.line(output.glyph("failed"), f"{_named(deployment)} ran: see how it ended, then open its lane")
    for deployment in restored.unstarted:
        output.line(output.glyph("failed"), f"{_named(deployment)} waited: ask for it again")
    output.line("What happened later is not known here: look what runs in each lane before you deploy.")
    output.line("Who saw a longer ledger says so: `dg audit accept` there, and begin a new anchor file.")
    if restored.keys:
        output.line("Tokens that were revoked later are good again: revoke them once more.")
    else:
        output.line(
            f"The keys did not come back: put yours into {restored.path / 'keys'} before the first start;",
            "with new ones all tokens are void, and receipts are signed anew.",
        )


def _named(deployment: Deployment) -> str:
    return f"{deployment.service} {deployment.version} → {deployment.environment.value}"


def _contents(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What a backup holds, for people."""
    from dg.cli.words import moment

    head, files = manifest.head, manifest.files
    yield "made", f"{moment(manifest.made_at)} by dg {manifest.version}"
    yield "ledger", f"up to entry {head.seq}, {moment(head.at)}"
    runs = {name.split("/")[1] for name in files if name.startswith("runs/")}
    repositories = sum(name.startswith("git/") for name in files)
    yield "holds", f"state, logs, repositories of {repositories} services, {len(runs)} runs"
    others = [name for name in files if name.endswith(".toml") or name.startswith("keys/")]
    if others:
        yield "and", ", ".join(sorted(others))


def _said(manifest: Manifest) -> dict[str, object]:
    """What a backup says of itself, for programs; times are microseconds."""
    return manifest.model_dump(mode="json", by_alias=True, include={"version", "made_at", "schema_", "head"})
