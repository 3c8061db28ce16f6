"""`dg backup` and `dg restore`: a whole home as one encrypted file, and a home of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from dg.cli import snapshots
from dg.cli.options import Command, Group, Invocation, pass_invocation
from dg.cli.output import Meaning, Output
from dg.cli.params import ENVIRONMENT

if TYPE_CHECKING:
    from dg.core.backup.models import Manifest, Proof, Restored, Seen, Taken
    from dg.core.deployments.models import Deployment
    from dg.core.types import Environment
    from dg.settings import Settings

MEBIBYTE = 1 << 20


class Backups(Group):
    """Its commands; a FILE in their place means `create FILE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = any(not word.startswith("-") for word in args)
        if named and not any(word in self.commands or word in {"-h", "--help"} for word in args):
            args = ["create", *args]
        return super().parse_args(ctx, args)


def key_file_option(command: click.Command) -> click.Command:
    """`--key-file`: what opens a backup."""
    option = click.Option(
        ["--key-file"],
        type=click.Path(path_type=Path, dir_okay=False),
        help="The private keys that open it; without one, backup.key_file or the home's own.",
    )
    command.params.append(option)
    return command


@click.command(
    cls=Backups,
    epilog="""\b
Examples:
  dg backup create /mnt/backups/dg-$(date +%F).dgb
  dg backup test /mnt/backups/dg-2026-11-26.dgb
  dg backup create --environment staging && dg backup list
  dg restore /mnt/dg.dgb --home /var/lib/dg --key-file backup.key""",
)
def backup() -> None:
    """Make encrypted backups, look into them, and try whether they restore.

    A FILE in place of a command makes one: `dg backup FILE`.
    """


FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
OF = click.option("--environment", "--env", "environment", type=ENVIRONMENT, help="One environment alone.")


@backup.command(
    epilog="""\b
Examples:
  dg backup create /mnt/backups/dg-$(date +%F).dgb
  dg backup create --with-secrets /mnt/safe/dg.dgb
  dg backup create --environment staging --name before-the-move"""
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--with-secrets", is_flag=True, help="Put the keys and the secrets file of the home in too.")
@OF
@click.option("--name", help="What the backup of ENVIRONMENT is called; without one, after the moment.")
@pass_invocation
def create(
    invocation: Invocation,
    file: Path | None,
    with_secrets: bool,
    environment: Environment | None,
    name: str | None,
) -> None:
    """Write this home to FILE, or let the server back up one ENVIRONMENT. Whatever runs goes on.

    It is encrypted for backup.recipients, or for the home's own key, and read back before it appears. The
    server keeps those of environments, with their configuration, secrets and history.
    """
    if environment is not None:
        if file or with_secrets:
            raise click.UsageError("the server keeps the backups of environments; leave FILE out.")
        snapshots.make(invocation, environment, name)
        return
    if file is None or name:
        raise click.UsageError("say where to, as FILE, or --environment.")
    from dg.core.backup.take import take
    from dg.core.clock import SystemClock

    clock = SystemClock()
    began = clock.monotonic()
    settings = _home_settings(invocation)
    taken = asyncio.run(
        take(
            settings,
            file.absolute(),
            clock=clock,
            environ=invocation.environ,
            secrets=with_secrets,
        )
    )
    _show_taken(taken, clock.monotonic() - began, settings, invocation.output)


@backup.command("list")
@click.argument("environment", metavar="[ENVIRONMENT]", type=ENVIRONMENT, required=False)
@pass_invocation
def list_backups(invocation: Invocation, environment: Environment | None) -> None:
    """List the backups that the server made and keeps, and whether they were tried."""
    snapshots.show_list(invocation, environment)


@key_file_option
@backup.command(epilog="\b\nExample:\n  dg backup show /mnt/dg-2026-11-26.dgb --key-file backup.key")
@FILE
@pass_invocation
def show(invocation: Invocation, file: Path, key_file: Path | None) -> None:
    """Say what the backup FILE holds. All of it is checked; nothing is written."""
    seen, output = _verified(invocation, file, key_file), invocation.output
    if output.json:
        output.record(_record(seen))
        return
    output.line(output.glyph("ok"), f"{seen.path}", (f"{seen.size / MEBIBYTE:.1f} MiB", Meaning.DIM))
    rows = [*_contents(seen.manifest), ("key", ", ".join(seen.keys) or "none: it is not encrypted")]
    output.table([[(f"  {name}", Meaning.DIM), value] for name, value in rows])
    counts = {name: count for name, count in seen.manifest.counts.items() if count}
    output.table([[(f"  {name}", Meaning.DIM), str(n)] for name, n in counts.items()], right=frozenset({1}))


@key_file_option
@backup.command(epilog="\b\nExample:\n  dg backup verify /mnt/backups/dg-2026-11-26.dgb")
@FILE
@pass_invocation
def verify(invocation: Invocation, file: Path, key_file: Path | None) -> None:
    """Check that no byte of the backup FILE was changed, and that its files are what its manifest says."""
    seen, output = _verified(invocation, file, key_file), invocation.output
    if output.json:
        output.record(_record(seen))
    else:
        output.line(
            output.glyph("ok"), f"{seen.path}: {len(seen.manifest.files)} files, all as they were written"
        )


@key_file_option
@backup.command(epilog="\b\nExample:\n  dg backup test /mnt/backups/dg-2026-11-26.dgb")
@FILE
@pass_invocation
def test(invocation: Invocation, file: Path, key_file: Path | None) -> None:
    """Restore the backup FILE into a scratch home, check what came back, and remove it again.

    It decrypts, its rows are counted, its ledger's chain is whole, its repositories can be read.
    """
    from dg.core.backup import keys
    from dg.core.backup.proving import prove
    from dg.core.clock import SystemClock

    settings = _home_settings(invocation)
    with _scratch_place(settings) as parent:
        proof = asyncio.run(
            prove(
                file,
                parent,
                clock=SystemClock(),
                environ=invocation.environ,
                identities=keys.identities(settings, key_file),
            )
        )
    _show_proof(file, proof, invocation.output)


@backup.command(
    epilog="""\b
Examples:
  dg backup key                 # the home's own, made when it is missing
  dg backup key --out dg.key    # one to keep elsewhere: see docs/backup.md"""
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write a new private key to this file."
)
@pass_invocation
def key(invocation: Invocation, out: Path | None) -> None:
    """Print the public key that backups are encrypted for, and where the private one stands."""
    from dg.core.backup import keys

    settings, output = _home_settings(invocation), invocation.output
    file, public = keys.make_file(out) if out else keys.own(settings)
    if output.json:
        output.record({"file": str(file) if file else None, "recipients": public})
        return
    for each in public:
        output.line(each)
    if out:
        output.line(f"{out} holds the private key: keep it off this machine, and name the public one in")
        output.line("backup.recipients of server.toml.")
    elif file:
        output.line(f"{file} holds the private key: keep a copy elsewhere, without it nobody reads a backup.")
    else:
        output.line("These are backup.recipients; who made them has the private keys.")


@key_file_option
@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg restore /mnt/dg.dgb --home /var/lib/dg --key-file backup.key
  dg backup restore before-the-move --environment staging --dry-run
  dg restore dg-staging-first.dgb --home /tmp/other --key-file backup.key""",
)
@FILE
@OF
@click.option("--reason", help="Of an environment: why; it stands in the history.")
@click.option("--dry-run", is_flag=True, help="Of an environment: only say what would change.")
@click.option("--yes", is_flag=True, help="Of an environment: do not ask before.")
@pass_invocation
def restore(
    invocation: Invocation,
    file: Path,
    key_file: Path | None,
    environment: Environment | None,
    reason: str | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Make a home from the backup FILE; or make one environment what it was, after you saw what changes.

    A whole home must be empty before, and nothing starts by itself after. With --environment, FILE is the
    name of a backup that the server keeps. A file that holds one environment goes into a home whose server is
    down, or into a new one.
    """
    if environment is not None:
        snapshots.restore(invocation, environment, str(file), reason=reason, dry_run=dry_run, yes=yes)
        return
    from dg.core.backup import keys, reading
    from dg.core.backup import restore as restoring
    from dg.core.clock import SystemClock
    from dg.core.home import Home

    clock = SystemClock()
    began = clock.monotonic()
    settings = _home_settings(invocation)
    identities = keys.identities(settings, key_file)
    if reading.verify(file, identities).manifest.environment:
        snapshots.restore_file(invocation, file, identities, reason=reason, dry_run=dry_run, yes=yes)
        return
    restored = asyncio.run(
        restoring.restore(
            file, Home(settings.home), clock=clock, environ=invocation.environ, identities=identities
        )
    )
    _show_restored(restored, clock.monotonic() - began, invocation.output)


backup.add_command(restore)


def _verified(invocation: Invocation, file: Path, key_file: Path | None) -> Seen:
    from dg.core.backup import keys, reading

    return reading.verify(file, keys.identities(_home_settings(invocation), key_file))


@contextmanager
def _scratch_place(settings: Settings) -> Iterator[Path]:
    """Where a scratch home may stand: in the home, or in a folder of one's own where there is none."""
    from dg.core.backup.scratch import FOLDER

    if settings.home.exists():
        yield settings.home / FOLDER
        return
    with TemporaryDirectory(prefix="dg-backup-") as folder:
        yield Path(folder)


def _home_settings(invocation: Invocation) -> Settings:
    """The settings of a home on this machine. Raises UsageError where another machine's server is meant."""
    if invocation.url:
        raise click.UsageError("a home is backed up and restored on its own machine; leave --url out.")
    return invocation.settings().settings


def _show_taken(taken: Taken, seconds: float, settings: Settings, output: Output) -> None:
    if output.json:
        output.record(
            {
                "file": str(taken.path),
                "bytes": taken.size,
                "seconds": seconds,
                **_said(taken.manifest),
                "keys": list(taken.keys),
            }
        )
        return
    size = f"{taken.size / MEBIBYTE:.1f} MiB in {seconds:.1f} s"
    output.line(output.glyph("ok"), f"{taken.path}", (size, Meaning.DIM))
    output.table([[(f"  {name}", Meaning.DIM), value] for name, value in _contents(taken.manifest)])
    for name in taken.missing:
        output.line(("  without", Meaning.DIM), name)
    if taken.secret:
        output.line(("It holds keys or secrets: whoever opens it can do what this server can.", Meaning.WARN))
    else:
        output.line(
            "The server's keys and secrets are not in it; keep them elsewhere, or take one --with-secrets."
        )
    if settings.backup.recipients:
        output.line(f"It is encrypted for {', '.join(taken.keys)}.")
    else:
        output.line(
            f"It opens with {settings.home / 'keys' / 'backup.key'}: keep a copy of that file elsewhere,",
            "without it nobody reads this backup.",
        )


def _show_proof(file: Path, proof: Proof, output: Output) -> None:
    manifest = proof.manifest
    if output.json:
        output.record(
            {
                "file": str(file),
                "seconds": proof.seconds,
                **_said(manifest),
                "rows": sum(manifest.counts.values()),
                "repositories": proof.repositories,
            }
        )
        return
    output.line(output.glyph("ok"), f"{file} restores", (f"in {proof.seconds:.1f} s", Meaning.DIM))
    rows = [
        *_contents(manifest),
        ("rows", f"{sum(manifest.counts.values())} in {len(manifest.counts)} tables, as they were counted"),
    ]
    if manifest.environment is None:
        rows.append(("chain", f"whole up to entry {manifest.head.seq}"))
    output.table([[(f"  {name}", Meaning.DIM), value] for name, value in rows])


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
    if manifest.store == "postgresql":
        output.line(
            "It was kept in PostgreSQL and is in SQLite files now: before the first start `dg migrate-to`",
            "an empty database, or take database.url out of the settings.",
        )
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
    if manifest.environment:
        yield "holds", f"{manifest.environment}: configuration, secrets, history"
        return
    runs = {name.split("/")[1] for name in files if name.startswith("runs/")}
    repositories = sum(name.startswith("git/") for name in files)
    yield "holds", f"state, logs, repositories of {repositories} services, {len(runs)} runs"
    others = [name for name in files if name.endswith(".toml") or name.startswith("keys/")]
    if others:
        yield "and", ", ".join(sorted(others))


def _record(seen: Seen) -> dict[str, object]:
    manifest = seen.manifest
    return {
        "file": str(seen.path),
        "bytes": seen.size,
        **_said(manifest),
        "keys": list(seen.keys),
        "files": len(manifest.files),
        "counts": dict(manifest.counts),
    }


def _said(manifest: Manifest) -> dict[str, object]:
    """What a backup says of itself, for programs; times are microseconds."""
    return manifest.model_dump(mode="json", by_alias=True, include={"version", "made_at", "schema_", "head"})
