"""`dg role`, `dg binding` and `dg can-i`: who may do what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dg.cli.errors import ExitCode
from dg.cli.options import Command, Group, Invocation, pass_invocation
from dg.cli.output import Meaning, Output, Text
from dg.cli.params import ACTION, ENVIRONMENT, ROLE, Moment

if TYPE_CHECKING:
    from dg.core.access.models import Binding, DefinedRole, Grant
    from dg.core.types import Environment

NAME = click.argument("name")
DESCRIPTION = click.option("--description", help="One line for people who choose among roles.")


# --- roles


@click.command(cls=Group)
def role() -> None:
    """Show, make and change roles: what may be done under one name."""


@role.command("list")
@pass_invocation
def list_roles(invocation: Invocation) -> None:
    """List the roles, those that every server has first."""
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        found = dg.run(dg.client.roles.list())
    output = invocation.output
    if output.json:
        for each in found:
            record(output, each)
        return
    rows: list[list[Text]] = [
        [
            (each.name, Meaning.STRONG),
            "given" if each.given else "own",
            str(len(each.actions)),
            each.description,
        ]
        for each in found
    ]
    output.table(rows, header=("ROLE", "KIND", "ACTIONS", "FOR"), right=frozenset({2}), whole=True)


@role.command()
@NAME
@pass_invocation
def show(invocation: Invocation, name: str) -> None:
    """Show what a role may do."""
    from dg.cli.remote import server

    with server(invocation) as dg:
        found = dg.run(dg.client.roles.get(name))
    _print_role(found, invocation.output)


@role.command(
    epilog="""\b
Example:
  dg role create releaser deployment:create deployment:read lane:read""",
)
@NAME
@click.argument("actions", nargs=-1, required=True, type=ACTION)
@DESCRIPTION
@pass_invocation
def create(invocation: Invocation, name: str, actions: tuple[str, ...], description: str | None) -> None:
    """Make a role of these actions, none of which one lacks oneself."""
    from dg.cli.remote import request, server
    from dg.core.access.models import CreateRole

    wish = request(CreateRole, name=name, actions=actions, description=description)
    with server(invocation) as dg:
        made = dg.run(dg.client.roles.create(wish))
    _print_role(made, invocation.output)


@role.command()
@NAME
@click.option("--add", multiple=True, type=ACTION, help="An action that it gets; several times for several.")
@click.option("--remove", multiple=True, type=ACTION, help="An action that it loses.")
@DESCRIPTION
@pass_invocation
def edit(
    invocation: Invocation,
    name: str,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    description: str | None,
) -> None:
    """Change a role. Whoever holds it may do other things at once."""
    from dg.cli.remote import server

    with server(invocation) as dg:
        changed = dg.run(dg.client.roles.update(name, description=description, add=add, remove=remove))
    _print_role(changed, invocation.output)


@role.command()
@NAME
@pass_invocation
def delete(invocation: Invocation, name: str) -> None:
    """Remove a role that nobody holds."""
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        gone = dg.run(dg.client.roles.delete(name))
    if invocation.json:
        record(invocation.output, gone)
    else:
        invocation.output.line(("deleted", Meaning.OK), f"role {gone.name}")


def _print_role(found: DefinedRole, output: Output) -> None:
    from dg.cli.remote import record

    if output.json:
        record(output, found)
        return
    kind = "given, never changes" if found.given else "own"
    output.line((found.name, Meaning.STRONG), (f"({kind})", Meaning.DIM), found.description)
    for action in found.actions:
        output.line("  ", action)


# --- bindings


@click.command(cls=Group)
def binding() -> None:
    """Give roles to people, keys and groups, and take them back."""


@binding.command("list")
@click.option("--subject", help="Only those of this one.")
@click.option("--role", type=ROLE, help="Only those that give this role.")
@pass_invocation
def list_bindings(invocation: Invocation, subject: str | None, role: str | None) -> None:
    """List who holds which role, where and until when. Roles of a token's own: dg token list."""
    from dg.cli.remote import record, server

    output = invocation.output
    rows: list[list[Text]] = []
    with server(invocation) as dg:
        for each in dg.each(dg.client.bindings.all(subject=subject, role=role)):
            if output.json:
                record(output, each)
            else:
                rows.append([each.subject, held(each), _until(each), (each.id, Meaning.DIM)])
    if rows:
        output.table(rows, header=("WHO", "MAY", "UNTIL", "ID"))


@binding.command(
    epilog="""\b
Examples:
  dg binding add clerk-role:admin approver --env production
  dg binding add clerk:user_2abc operator --service web --until 2h""",
)
@click.argument("subject")
@click.argument("role", type=ROLE)
@click.option("--env", "environment", type=ENVIRONMENT, help="Only in this environment.")
@click.option("--service", help="Only for this service.")
@click.option("--until", type=Moment(), help="When it ends by itself: 2h, 18:00, 2026-12-24T18:00Z.")
@pass_invocation
def add(
    invocation: Invocation,
    subject: str,
    role: str,
    environment: Environment | None,
    service: str | None,
    until: int | None,
) -> None:
    """Give a role, from their next request on.

    SUBJECT is the id of a token, a key or a person, or somebody at Clerk (clerk:user_2abc); or all
    with a role in the Clerk organisation (clerk-role:admin), or in a Slack group (slack-group:S0123).
    """
    from dg.cli.remote import record, request, server
    from dg.core.access.models import CreateBinding

    wish = request(
        CreateBinding,
        subject=subject,
        role=role,
        environment=environment and environment.value,
        service=service,
        expires_at=until,
    )
    with server(invocation) as dg:
        made = dg.run(dg.client.bindings.create(wish))
    output = invocation.output
    if output.json:
        record(output, made)
        return
    output.line(output.glyph("ok"), f"{made.subject} is {held(made)}", _until(made))
    output.line(("  take it back with:", Meaning.DIM), f"dg binding remove {made.id}")


@binding.command()
@click.argument("id", metavar="ID")
@pass_invocation
def remove(invocation: Invocation, id: str) -> None:  # noqa: A002
    """Take a role back, from their next request on."""
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        gone = dg.run(dg.client.bindings.revoke(id))
    if invocation.json:
        record(invocation.output, gone)
    else:
        invocation.output.line(("removed:", Meaning.OK), f"{gone.subject} is no longer {held(gone)}")


def held(grant: Binding | Grant) -> str:
    """A role and where it counts: `operator of web in staging`."""
    return " ".join(
        [
            grant.role,
            *([f"of {grant.service}"] if grant.service else []),
            *([f"in {grant.environment.value}"] if grant.environment else []),
        ]
    )


def _until(given: Binding) -> str:
    from dg.cli.words import moment

    return "until it is taken back" if given.expires_at is None else f"until {moment(given.expires_at)}"


# --- may I


@click.command(
    "can-i",
    cls=Command,
    epilog="""\b
Examples:
  dg can-i deployment:create --env production && dg deploy web main
  dg can-i lane:freeze --as clerk-role:admin""",
)
@click.argument("action", type=ACTION)
@click.option("--env", "environment", type=ENVIRONMENT, help="Where; without it, everywhere.")
@click.option("--service", help="To which service; without it, to all.")
@click.option("--as", "principal", metavar="WHO", help="Ask for another, where one may read bindings.")
@pass_invocation
def can_i(
    invocation: Invocation,
    action: str,
    environment: Environment | None,
    service: str | None,
    principal: str | None,
) -> int:
    """Say whether one may do something, and which grant allows it.

    Exits with 0 for yes and 1 for no.
    """
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        found = dg.run(dg.client.check(action, environment=environment, service=service, principal=principal))
    output = invocation.output
    if output.json:
        record(output, found)
    else:
        output.line(
            output.glyph("ok" if found.allowed else "fail"), "yes:" if found.allowed else "no:", found.why
        )
    return ExitCode.OK if found.allowed else ExitCode.FAILED
