"""`dg login`, `dg logout`, `dg whoami`: sign this machine in and out, and who one is at the server."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import click

from dg.cli.options import Command, Invocation, pass_invocation
from dg.cli.output import Meaning, Output, Text

if TYPE_CHECKING:
    from dg.client.credentials import SessionFile
    from dg.core.access.models import Principal
    from dg.core.access.sessions import Device, SessionTokens


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg login --url https://dg.example.org
  dg login --as ana""",
)
@click.option("--as", "name", metavar="NAME", help="What to call yourself; else the name of your account.")
@pass_invocation
def login(invocation: Invocation, name: str | None) -> None:
    """Sign in: shows a code and waits until an administrator, or you elsewhere, approves it."""
    from dg.cli.local import owner_name
    from dg.cli.remote import guest

    file = session_file(invocation)
    output = invocation.output
    with guest(invocation) as dg:
        device = dg.run(dg.client.sessions.ask(name=name or owner_name(), host=socket.gethostname()))
        _show(device, output)
        tokens = dg.run(dg.client.sessions.wait(device))
        file.write(tokens, dg.client.clock.micros())
    _say_signed_in(file.url, tokens, output)


def _show(device: Device, output: Output) -> None:
    if output.json:
        output.record(
            {"user_code": device.user_code, "approve": device.hint, "expires_in": device.expires_in}
        )
        output.stream.flush()
        return
    words = output.to(sys.stderr)
    words.line("your code is", (device.user_code, Meaning.STRONG))
    words.line(
        "  an administrator, or you where you are signed in, lets you in with:", (device.hint, Meaning.STRONG)
    )
    words.line((f"  waiting for at most {device.expires_in // 60} min …", Meaning.DIM))
    sys.stderr.flush()


def _say_signed_in(url: str, tokens: SessionTokens, output: Output) -> None:
    from dg.cli.access import held
    from dg.cli.remote import record
    from dg.cli.words import moment

    session = tokens.session
    if output.json:
        record(output, session)
        return
    output.line(output.glyph("ok"), f"signed in at {url} as", (session.name, Meaning.STRONG))
    output.line(("  may:", Meaning.DIM), ", ".join(map(held, session.grants)))
    output.line(
        ("  until:", Meaning.DIM), f"{moment(session.expires_at)}; {moment(session.idle_at)} if not used"
    )


@click.command(cls=Command)
@pass_invocation
def logout(invocation: Invocation) -> None:
    """Sign out: end this machine's session at the server, and forget it here."""
    from dg.cli.remote import record, server, warn
    from dg.client.errors import Unreachable
    from dg.core.errors import NotFound, Refused, Unauthenticated

    file = session_file(invocation)
    kept = file.read()
    if kept is None:
        raise Refused(f"you are not signed in at {file.url}", reason="not_signed_in")
    session = kept.session
    try:
        with server(invocation, file) as dg:
            session = dg.run(dg.client.sessions.revoke(session.id))
    except Unreachable:
        warn(
            invocation,
            f"{file.url} does not answer: the session may go on there: dg session revoke {session.id}",
        )
    except (Unauthenticated, NotFound):
        # It is over already.
        pass
    file.delete()
    if invocation.json:
        record(invocation.output, session)
    else:
        invocation.output.line(invocation.output.glyph("ok"), f"signed out of {file.url}")


@click.command(cls=Command)
@pass_invocation
def whoami(invocation: Invocation) -> None:
    """Say who you are at the server, how it knows, and until when."""
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        principal, url = dg.run(dg.client.whoami()), dg.client.url
    if invocation.json:
        record(invocation.output, principal)
        return
    for line in _who(principal, url):
        invocation.output.line(*line)


HOW = {
    "token": "by a token",
    "key": "by an API key",
    "session": "signed in",
    "clerk": "by Clerk",
    "local": "as the owner of its machine",
    "system": "as dg itself",
}


def _who(principal: Principal, url: str) -> list[list[Text]]:
    from dg.cli.access import held
    from dg.cli.words import moment

    how = HOW[principal.method]
    told: list[list[Text]] = [[(principal.name, Meaning.STRONG), f"({principal.kind})", f"at {url}, {how}"]]
    rows = {
        "may": ", ".join(map(held, principal.grants)) or "nothing",
        "until": moment(principal.expires_at) if principal.expires_at else "",
        "session": principal.session or "",
        "id": principal.id,
    }
    return told + [[(f"  {name}:", Meaning.DIM), said] for name, said in rows.items() if said]


def session_file(invocation: Invocation) -> SessionFile:
    """Where the session at the server in question is, or will be. Raises Unreachable, NoCredential."""
    from dg.cli.remote import place
    from dg.client.credentials import SessionFile
    from dg.client.errors import NoCredential

    file = SessionFile.of(place(invocation), invocation.environ)
    if file is None:
        raise NoCredential("there is no home directory to keep a session in: set HOME, or use DG_TOKEN")
    return file
