"""`dg events` and `dg audit`: what happened, and whether the record of it is whole."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import click

from dg.cli.errors import ExitCode
from dg.cli.options import Command, Group, Invocation, pass_invocation
from dg.cli.output import Meaning, Output, Text

if TYPE_CHECKING:
    from dg.client.models import Event, Verdict
    from dg.core.audit.models import AuditEntry

QUIET = frozenset(
    {"service", "environment", "deployment", "number", "freeze", "token", "origin", "rights"}
    | {"rolled_back_by", "asked_by"}
)
"""Parts of a payload that the line says already, if by another name, or that `dg audit list` is for."""


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg events -f
  dg events --filter "env=production type~deployment age<1d"
  dg events --after 5000 --json""",
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, from now or from --after on.")
@click.option("--after", type=click.IntRange(min=0), help="Begin behind the event with this number.")
@click.option("--filter", "matching", help='Only some: "env=production by=ana type~lane".')
@pass_invocation
def events(invocation: Invocation, follow: bool, after: int | None, matching: str | None) -> None:
    """Print what happened, one line for each event."""
    from dg.cli.remote import record, server

    output = invocation.output
    with server(invocation) as dg:
        facts = dg.client.events
        stream = (
            facts.follow(after=after, matching=matching)
            if follow
            else facts.all(after=after or 0, matching=matching)
        )
        for event in dg.each(stream):
            if output.json:
                record(output, event)
            else:
                output.line(*words(event))
            if follow:
                output.stream.flush()


def words(event: Event) -> list[Text]:
    """One event as a line: number, time, what, where, by whom, and what else it says."""
    from dg.cli.words import moment

    where = "/".join(filter(None, (event.service, event.environment)))
    rest = " ".join(f"{key}={_said(key, value)}" for key, value in event.payload.items() if key not in QUIET)
    return [
        (f"{event.seq:>6}", Meaning.DIM),
        moment(event.at),
        (event.type, Meaning.STRONG),
        *([where] if where else []),
        *([f"#{number}"] if (number := event.payload.get("number")) else []),
        (f"by {event.actor_name or event.actor}", Meaning.DIM),
        *([(rest, Meaning.DIM)] if rest else []),
    ]


def _said(key: str, value: object) -> str:
    """One value of a payload, in which moments are microseconds."""
    from dg.cli.words import moment
    from dg.client.wire import is_time

    return moment(value) if isinstance(value, int) and is_time(key) else str(value)


@click.command(cls=Group)
def audit() -> None:
    """Read the record of everything that was done or tried, and check it."""


@audit.command(
    "list",
    epilog="""\b
Examples:
  dg audit list --filter "decision=denied age<1d"
  dg audit list --filter "actor=ana address=192.0.2.7" --limit 20""",
)
@click.option("--filter", "matching", help='Only some: "decision=denied actor=ana address~192.0.2".')
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Most entries.")
@pass_invocation
def list_audit(invocation: Invocation, matching: str | None, limit: int) -> None:
    """List who did or tried what, from where, and why they could, the newest first."""
    from dg.cli.remote import record, server

    output = invocation.output
    with server(invocation) as dg:
        for entry in itertools.islice(dg.each(dg.client.audit.all(matching=matching)), limit):
            if output.json:
                record(output, entry)
            else:
                output.line(*_tried(entry, output))


def _tried(entry: AuditEntry, output: Output) -> list[Text]:
    from dg.cli.words import moment

    what = " ".join(filter(None, (entry.type, entry.action, f"x{entry.count}" if entry.count else None)))
    where = "/".join(filter(None, (entry.service, entry.environment)))
    place = f"from {entry.address}" if entry.address else ""
    return [
        (f"{entry.seq:>6}", Meaning.DIM),
        moment(entry.at),
        output.glyph("ok" if entry.decision == "allowed" else "fail"),
        (what, Meaning.STRONG),
        *filter(None, (where or entry.object,)),
        f"by {entry.actor_name} ({', '.join(filter(None, (entry.method, place)))})",
        *([f"in whose name {entry.impersonated_by} acted"] if entry.impersonated_by else []),
        (entry.why, Meaning.DIM),
    ]


@audit.command()
@pass_invocation
def verify(invocation: Invocation) -> int:
    """Check that no entry was changed, removed or put in, also since this machine saw the record last.

    The first bad one is named. Works on the server's machine while the server is down, too.
    """
    from dg.cli.remote import record

    verdict = _verdict(invocation)
    output = invocation.output
    if output.json:
        record(output, verdict)
    else:
        output.line(output.glyph("ok" if verdict.ok else "fail"), verdict.message)
        output.line(("  head:", Meaning.DIM), f"{verdict.head_seq} {verdict.head_hash}")
    return ExitCode.OK if verdict.ok else ExitCode.FAILED


def _verdict(invocation: Invocation) -> Verdict:
    from dg.cli.local import is_unattended
    from dg.cli.remote import server

    if is_unattended(invocation):
        from dg.cli.local import verify

        return verify(invocation)
    with server(invocation) as dg:
        return dg.run(dg.client.verify())


@audit.command()
@pass_invocation
def accept(invocation: Invocation) -> None:
    """Take the record as it is now for what it is: after a restore from a backup, which made it shorter.

    This machine then no longer warns that it saw another one.
    """
    from dg.cli.remote import server
    from dg.core.errors import Unavailable

    with server(invocation) as dg:
        dg.run(dg.client.whoami())
        found = dg.client.ledger.accept()
    if found is None:
        raise Unavailable("the server does not say how far its record reaches", reason="ledger")
    output = invocation.output
    if output.json:
        output.record({"ledger": found.ledger, "seq": found.seq, "hash": found.hash})
    else:
        output.line(output.glyph("ok"), f"taken as it is, up to entry {found.seq}")
