"""`dg key`: API keys for service accounts."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dg.cli.options import Group, Invocation, pass_invocation
from dg.cli.output import Meaning, Output, Text
from dg.cli.params import ACTION, ENVIRONMENT, ROLE, Span

if TYPE_CHECKING:
    from dg.core.access.models import Action, IssuedKey, Scope
    from dg.core.types import Environment

_out = click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the secret to this new file, mode 0600, instead of standard output.",
)
_ttl = click.option("--ttl", type=Span(), help="How long it lasts: 12h, 30d; else access.key_ttl.")


@click.command(cls=Group)
def key() -> None:
    """Create, list, rotate and revoke API keys of service accounts."""


@key.command(
    epilog="""\b
Examples:
  dg key create --name ci --role operator --env staging --out ci.key
  dg key create --name release --can deployment:create --can deployment:read \\
      --service shop --env production --from 192.0.2.0/24 --ttl 30d""",
)
@click.option("--name", required=True, help="Whose it is; shown in lists.")
@click.option("--role", "roles", type=ROLE, multiple=True, help="All that a role may; can be repeated.")
@click.option("--can", "actions", type=ACTION, multiple=True, help="One action; can be repeated.")
@click.option("--env", "environments", type=ENVIRONMENT, multiple=True, help="Only there; can be repeated.")
@click.option("--service", "services", multiple=True, help="Only this service; can be repeated.")
@click.option("--from", "addresses", multiple=True, help="Only from this network; can be repeated.")
@_ttl
@_out
@pass_invocation
def create(
    invocation: Invocation,
    name: str,
    roles: tuple[str, ...],
    actions: tuple[Action, ...],
    environments: tuple[Environment, ...],
    services: tuple[str, ...],
    addresses: tuple[str, ...],
    ttl: str | None,
    out: Path | None,
) -> None:
    """Create an API key and print its secret, this once. Works while the server is down, too.

    It may do all that is named, in every environment and for every service unless some are named.
    """
    from dg.settings.units import seconds_of

    if not roles and not actions:
        raise click.UsageError("say what the key may do: --role ROLE or --can ACTION")
    scopes = _scopes(roles, actions, environments, services)
    seconds = seconds_of(ttl) if ttl else None
    issued = _into(out, lambda: _issue(invocation, name, scopes, addresses, seconds))
    _print_issued(issued, invocation.output, out)


def _scopes(
    roles: tuple[str, ...],
    actions: tuple[Action, ...],
    environments: tuple[Environment, ...],
    services: tuple[str, ...],
) -> tuple[Scope, ...]:
    """Each role and action, in each environment, for each service."""
    from dg.core.access.models import Scope

    places = list(itertools.product(environments or (None,), services or (None,)))
    return tuple(
        Scope(role=role, action=action, environment=environment, service=service)
        for role, action in (*((role, None) for role in roles), *((None, action) for action in actions))
        for environment, service in places
    )


def _issue(
    invocation: Invocation,
    name: str,
    scopes: tuple[Scope, ...],
    addresses: tuple[str, ...],
    ttl: float | None,
) -> IssuedKey:
    from dg.cli.local import is_unattended
    from dg.cli.remote import server

    if is_unattended(invocation):
        from dg.cli.local import owner, with_core

        return with_core(
            invocation,
            lambda core: core.keys.create(owner(), name=name, scopes=scopes, addresses=addresses, ttl=ttl),
        )
    with server(invocation) as dg:
        return dg.run(dg.client.keys.create(name=name, scopes=scopes, addresses=addresses, ttl=ttl))


@key.command()
@click.argument("id", metavar="ID")
@click.option("--overlap", type=Span(), help="How long the old secret goes on, 0s to 7d.")
@_ttl
@_out
@pass_invocation
def rotate(
    invocation: Invocation,
    id: str,  # noqa: A002
    overlap: str | None,
    ttl: str | None,
    out: Path | None,
) -> None:
    """Give a key a new secret and print it, this once. The key's id and what it may stay the same."""
    from dg.cli.remote import server
    from dg.settings.units import seconds_of

    def rotated() -> IssuedKey:
        with server(invocation) as dg:
            return dg.run(
                dg.client.keys.rotate(
                    id,
                    overlap=seconds_of(overlap) if overlap else None,
                    ttl=seconds_of(ttl) if ttl else None,
                )
            )

    _print_issued(_into(out, rotated), invocation.output, out)


def _into(out: Path | None, issue: Callable[[], IssuedKey]) -> IssuedKey:
    """What `issue` gives, its secret written to a file that is made before anything is asked for.

    Raises Refused when the file cannot be made; none is left behind when `issue` fails.
    """
    from dg.core.errors import Refused

    if out is None:
        return issue()
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refused(
            f"{out} cannot be made: {error.strerror}; name a file that is not there", reason="exists"
        ) from None
    with os.fdopen(descriptor, "w") as file:
        try:
            issued = issue()
        except BaseException:
            out.unlink()
            raise
        file.write(f"{issued.secret}\n")
        file.flush()
        os.fsync(descriptor)
    return issued


def _print_issued(issued: IssuedKey, output: Output, out: Path | None) -> None:
    from dg.cli.remote import record
    from dg.cli.words import moment

    if output.json:
        record(output, issued.key if out else issued)
        return
    words = output.to(sys.stderr)
    made = issued.key
    words.line(
        words.glyph("ok"),
        f"key {made.name}",
        (", ".join(map(str, made.scopes)), Meaning.DIM),
        f"until {moment(made.expires_at)}",
    )
    for old in made.secrets[:-1]:
        if old.until > made.secrets[-1].created_at:
            words.line((f"  the secret {old.begins}… goes on until {moment(old.until)}", Meaning.DIM))
    words.line(("  it is shown this once; revoke it with:", Meaning.DIM), f"dg key revoke {made.id}")
    sys.stderr.flush()
    if out is None:
        click.echo(issued.secret)


@key.command("list")
@pass_invocation
def list_keys(invocation: Invocation) -> None:
    """List API keys by the beginnings of their secrets; never more of them."""
    from dg.cli.remote import now, record, server
    from dg.cli.words import ago, validity

    with server(invocation) as dg:
        found = dg.run(dg.client.keys.list())
    output, at = invocation.output, now()
    if output.json:
        for each in found:
            record(output, each)
        return
    rows: list[list[Text]] = [
        [
            each.name,
            ", ".join(map(str, each.scopes)),
            ", ".join(each.addresses) or "anywhere",
            validity(each, at),
            ago(each.last_used_at, at),
            ", ".join(f"{secret.begins}…" for secret in each.secrets if secret.until > at),
            (each.id, Meaning.DIM),
        ]
        for each in found
    ]
    output.table(rows, header=("NAME", "MAY", "FROM", "STATE", "USED", "BEGINS", "ID"))


@key.command()
@click.argument("id", metavar="ID")
@pass_invocation
def revoke(invocation: Invocation, id: str) -> None:  # noqa: A002
    """Withdraw a key: none of its secrets opens anything from now on."""
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        revoked = dg.run(dg.client.keys.revoke(id))
    if invocation.json:
        record(invocation.output, revoked)
    else:
        invocation.output.line(("revoked", Meaning.OK), f"key {revoked.name}")
