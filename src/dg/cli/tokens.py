"""`dg token`: tokens for people, pipelines and services."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

import click

from dg.cli.access import held
from dg.cli.options import Group, Invocation, pass_invocation
from dg.cli.output import Meaning, Output, Text
from dg.cli.params import ENVIRONMENT, ROLE, Span

if TYPE_CHECKING:
    from dg.core.access.models import IssuedToken
    from dg.core.types import Environment


@click.command(cls=Group)
def token() -> None:
    """Create, list and revoke tokens."""


@token.command(
    epilog="""\b
Examples:
  dg token create --name ci --role operator --env staging
  DG_TOKEN=$(dg token create --name laptop --role viewer --person)""",
)
@click.option("--name", required=True, help="What it is for; shown in lists.")
@click.option(
    "--role", type=ROLE, required=True, help="viewer, operator, approver, admin, or one of `dg role list`."
)
@click.option("--env", "environment", type=ENVIRONMENT, help="Only for this environment.")
@click.option("--service", help="Only for this service.")
@click.option("--ttl", type=Span(), help="How long it lasts: 12h, 30d; else access.token_ttl of the server.")
@click.option("--person", is_flag=True, help="It stands for a person; else for a pipeline or a service.")
@click.option("--of", "whose", metavar="NAME", help="The person whose it is: one with all of theirs.")
@pass_invocation
def create(
    invocation: Invocation,
    name: str,
    role: str,
    environment: Environment | None,
    service: str | None,
    ttl: str | None,
    person: bool,
    whose: str | None,
) -> None:
    """Create a token and print it, this once. Works on the server's machine while the server is down, too."""
    from dg.settings.units import seconds_of

    kind: Literal["person", "service"] = "person" if person or whose else "service"
    seconds = seconds_of(ttl) if ttl else None
    issued = _issue(invocation, name, role, kind, environment, service, seconds, whose)
    _print_issued(issued, invocation.output)


def _issue(
    invocation: Invocation,
    name: str,
    role: str,
    kind: Literal["person", "service"],
    environment: Environment | None,
    service: str | None,
    ttl: float | None,
    person: str | None,
) -> IssuedToken:
    from dg.cli.local import is_unattended
    from dg.cli.remote import server

    if is_unattended(invocation):
        from dg.cli.local import owner, with_core

        return with_core(
            invocation,
            lambda core: core.tokens.create(
                owner(),
                name=name,
                role=role,
                kind=kind,
                environment=environment,
                service=service,
                ttl=ttl,
                person=person,
            ),
        )
    with server(invocation) as dg:
        tokens = dg.client.tokens
        return dg.run(
            tokens.create(
                name=name,
                role=role,
                kind=kind,
                environment=environment,
                service=service,
                ttl=ttl,
                person=person,
            )
        )


def _print_issued(issued: IssuedToken, output: Output) -> None:
    from dg.cli.remote import record
    from dg.cli.words import moment

    if output.json:
        record(output, issued)
        return
    words = output.to(sys.stderr)
    made = issued.token
    words.line(
        words.glyph("ok"),
        f"token {made.name}",
        (held(made.grant), Meaning.DIM),
        f"until {moment(made.expires_at)}",
    )
    words.line(("  it is shown this once; revoke it with:", Meaning.DIM), f"dg token revoke {made.id}")
    sys.stderr.flush()
    click.echo(issued.secret)


@token.command("list")
@pass_invocation
def list_tokens(invocation: Invocation) -> None:
    """List tokens, newest first; never their secrets."""
    from dg.cli.remote import now, record, server
    from dg.cli.words import ago, validity

    with server(invocation) as dg:
        found = dg.run(dg.client.tokens.list())
    output, at = invocation.output, now()
    if output.json:
        for each in found:
            record(output, each)
        return
    rows: list[list[Text]] = [
        [
            each.name,
            held(each.grant),
            each.kind,
            validity(each, at),
            ago(each.last_used_at, at),
            (each.id, Meaning.DIM),
        ]
        for each in found
    ]
    output.table(rows, header=("NAME", "MAY", "FOR", "STATE", "USED", "ID"))


@token.command()
@click.argument("id", metavar="ID")
@pass_invocation
def revoke(invocation: Invocation, id: str) -> None:  # noqa: A002
    """Withdraw a token: it opens nothing from now on."""
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        revoked = dg.run(dg.client.tokens.revoke(id))
    if invocation.json:
        record(invocation.output, revoked)
    else:
        invocation.output.line(("revoked", Meaning.OK), f"token {revoked.name}")
