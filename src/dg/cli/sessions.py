"""`dg session`: who asks to be let in, and who is signed in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from dg.cli.options import Group, Invocation, pass_invocation
from dg.cli.output import Meaning, Output, Text
from dg.cli.params import ENVIRONMENT, ROLE

if TYPE_CHECKING:
    from dg.core.access.sessions import Login, Session, WantedGrant
    from dg.core.types import Environment


@click.command(cls=Group)
def session() -> None:
    """Approve logins; list and revoke sessions."""


@session.command(
    epilog="""\b
Examples:
  dg session approve BCDF-GHJK
  dg session approve BCDF-GHJK --for ana --role operator --role approver""",
)
@click.argument("code", metavar="CODE")
@click.option(
    "--for", "person", metavar="NAME", help="Who it is, where that is not you; a new name is somebody new."
)
@click.option(
    "--role", "roles", type=ROLE, multiple=True, help="What they may be; more than once for several."
)
@click.option("--env", "environment", type=ENVIRONMENT, help="Only in this environment.")
@click.option("--service", help="Only for this service.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_invocation
def approve(
    invocation: Invocation,
    code: str,
    person: str | None,
    roles: tuple[str, ...],
    environment: Environment | None,
    service: str | None,
    yes: bool,
) -> None:
    """Let somebody in who shows this code: as yourself, or with --for and --role as somebody else.

    Shows first who asks, and from where. What a program says of itself proves nothing: compare the code.
    """
    from dg.cli.remote import record, server
    from dg.core.access.sessions import WantedGrant

    where = environment.value if environment else None
    grants = [WantedGrant(role=role, environment=where, service=service) for role in roles]
    with server(invocation) as dg:
        found = dg.run(dg.client.sessions.login(code))
        if not yes:
            _ask(found, person, grants, invocation.output.to(sys.stderr))
        done = dg.run(dg.client.sessions.approve(code, person=person, grants=grants))
    if invocation.json:
        record(invocation.output, done)
    else:
        invocation.output.line(invocation.output.glyph("ok"), "let in:", person or "you", f"on {_host(done)}")


def _ask(login: Login, person: str | None, grants: list[WantedGrant], output: Output) -> None:
    """Show who asks, and raise Abort unless the person at the terminal agrees."""
    from dg.cli.access import held
    from dg.cli.remote import now
    from dg.cli.words import ago
    from dg.core.access.models import Grant
    from dg.core.errors import Invalid

    if not sys.stdin.isatty():
        raise Invalid("look who asks and say yes at a terminal, or give --yes", reason="usage")
    who = login.name or "somebody"
    output.line((who, Meaning.STRONG), "on", (_host(login), Meaning.STRONG), "asks to be let in")
    since = f"({ago(login.asked_at, now())})"
    output.line(("  from:", Meaning.DIM), login.address or "an unknown address", (since, Meaning.DIM))
    given = [Grant.model_validate(grant.model_dump()) for grant in grants]
    may = ", ".join(map(held, given)) or "all that you may in this session"
    output.line(("  as:", Meaning.DIM), person or "yourself", (f"({may})", Meaning.DIM))
    sys.stderr.flush()
    click.confirm("Does it show this code, and do you know who it is?", abort=True, err=True)


def _host(login: Login) -> str:
    return login.host or "an unknown host"


@session.command()
@click.argument("code", metavar="CODE")
@pass_invocation
def deny(invocation: Invocation, code: str) -> None:
    """Turn somebody away who shows this code."""
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        done = dg.run(dg.client.sessions.deny(code))
    if invocation.json:
        record(invocation.output, done)
    else:
        invocation.output.line(("turned away", Meaning.OK), done.name or "somebody", f"on {_host(done)}")


@session.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that are over, too.")
@pass_invocation
def list_sessions(invocation: Invocation, everything: bool) -> None:
    """List your sessions, and those of others that you may see; newest first."""
    from dg.cli.access import held
    from dg.cli.remote import now, record, server
    from dg.cli.words import ago

    with server(invocation) as dg:
        sessions = dg.run(dg.client.sessions.list())
    output, at = invocation.output, now()
    found = [each for each in sessions if everything or not each.is_over(at)]
    if output.json:
        for each in found:
            record(output, each)
        return
    rows: list[list[Text]] = [
        [
            each.name,
            each.host,
            each.address,
            ", ".join(map(held, each.grants)),
            _state(each, at),
            ago(each.refreshed_at, at),
            (each.id, Meaning.DIM),
        ]
        for each in found
    ]
    output.table(rows, header=("WHO", "HOST", "FROM", "MAY", "STATE", "USED", "ID"))


def _state(session: Session, now: int) -> Text:
    from dg.cli.words import moment

    if session.revoked_at is not None:
        stolen = session.revoked_why == "reused"
        return ("revoked: its token was used twice", Meaning.ERR) if stolen else ("revoked", Meaning.DIM)
    if session.is_over(now):
        return "over", Meaning.DIM
    return f"until {moment(min(session.idle_at, session.expires_at))}"


@session.command(
    epilog="""\b
Examples:
  dg session revoke 01936b2e-7c00-7000-8000-00000000000a
  dg session revoke --person ana""",
)
@click.argument("id", metavar="[ID]", required=False)
@click.option("--person", metavar="NAME", help="All sessions of the person of this name.")
@pass_invocation
def revoke(invocation: Invocation, id: str | None, person: str | None) -> None:  # noqa: A002
    """End a session, or all of a person: they open nothing from now on."""
    from dg.cli.remote import now, record, server
    from dg.core.errors import Invalid, NotFound

    if (id is None) == (person is None):
        raise Invalid("name one session by its ID, or a person with --person", reason="usage")
    with server(invocation) as dg:
        ids = (
            [id]
            if id
            else [
                each.id
                for each in dg.run(dg.client.sessions.list())
                if each.name == person and not each.is_over(now())
            ]
        )
        if not ids:
            raise NotFound(f"{person} has no session that you may see")
        revoked = [dg.run(dg.client.sessions.revoke(each)) for each in ids]
    for each in revoked:
        if invocation.json:
            record(invocation.output, each)
        else:
            invocation.output.line(("revoked", Meaning.OK), f"session of {each.name} on {each.host}")
