"""`dg webhook`: events of this server, sent to receivers outside."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from dg.cli.errors import ExitCode
from dg.cli.options import Group, Invocation, pass_invocation
from dg.cli.output import Meaning, Output, Text
from dg.cli.params import ENVIRONMENT

if TYPE_CHECKING:
    from dg.core.types import Environment
    from dg.core.webhooks.models import IssuedWebhook, Webhook, WebhookDelivery

ID = click.argument("id", metavar="ID")
EVENTS = click.option(
    "--event",
    "events",
    multiple=True,
    help="A type such as deployment.finished, or deployment.*; again for more.",
)
FILTER = click.option("--filter", "filter_", help="Terms as `dg events` takes them, all of which must hold.")
DESCRIPTION = click.option("--description", help="What it is for; shown in lists.")


@click.command(cls=Group)
def webhook() -> None:
    """Send events to receivers outside, signed and repeated until they arrived."""


@webhook.command(
    epilog="""\b
Example:
  dg webhook create https://hooks.example.org/dg --event 'deployment.*'""",
)
@click.argument("address", metavar="URL")
@EVENTS
@FILTER
@click.option("--env", "environment", type=ENVIRONMENT, help="Only what happens in this environment.")
@click.option("--service", help="Only what happens to this service.")
@DESCRIPTION
@pass_invocation
def create(
    invocation: Invocation,
    address: str,
    events: tuple[str, ...],
    filter_: str | None,
    environment: Environment | None,
    service: str | None,
    description: str | None,
) -> None:
    """Send events to URL from now on, and print the secret that signs them, this once."""
    from dg.cli.remote import request, server
    from dg.core.webhooks.models import CreateWebhook

    asked = request(
        CreateWebhook,
        url=address,
        events=events or None,
        filter=filter_,
        environment=environment,
        service=service,
        description=description,
    )
    with server(invocation) as dg:
        _print_issued(dg.run(dg.client.webhooks.create(asked)), invocation.output)


def _print_issued(issued: IssuedWebhook, output: Output) -> None:
    from dg.cli.remote import record

    if output.json:
        record(output, issued)
        return
    words = output.to(sys.stderr)
    made = issued.webhook
    words.line(words.glyph("ok"), "webhook", made.id, (f"to {made.url}", Meaning.DIM))
    words.line(("  its secret is shown this once; see whether it arrives with:", Meaning.DIM))
    words.line(f"  dg webhook test {made.id}")
    sys.stderr.flush()
    click.echo(issued.secret)


@webhook.command("list")
@pass_invocation
def list_webhooks(invocation: Invocation) -> None:
    """List webhooks, and whether they work."""
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        found = dg.run(dg.client.webhooks.list())
    output = invocation.output
    if output.json:
        for each in found:
            record(output, each)
        return
    rows: list[list[Text]] = [
        [_state(each, output), " ".join(each.events), _where(each), (each.id, Meaning.DIM), each.url]
        for each in found
    ]
    output.table(rows, header=("STATE", "EVENTS", "WHERE", "ID", "TO"))


def _state(webhook: Webhook, output: Output) -> Text:
    if not webhook.enabled:
        glyph, meaning = output.glyph("fail")
        return f"{glyph} disabled", meaning
    glyph, meaning = output.glyph("warn" if webhook.failures else "ok")
    return f"{glyph} {'failing' if webhook.failures else 'on'}", meaning


def _where(webhook: Webhook) -> str:
    place = [webhook.service or "", webhook.environment.value if webhook.environment else ""]
    return "/".join(filter(None, place)) or "everywhere"


@webhook.command()
@ID
@pass_invocation
def show(invocation: Invocation, id: str) -> None:  # noqa: A002
    """Show one webhook."""
    from dg.cli.remote import server

    with server(invocation) as dg:
        _print(dg.run(dg.client.webhooks.get(id)), invocation.output)


def _print(webhook: Webhook, output: Output) -> None:
    from dg.cli.remote import record
    from dg.cli.words import moment

    if output.json:
        record(output, webhook)
        return
    facts: list[tuple[str, Text | None]] = [
        ("state", _state(webhook, output)),
        ("why", webhook.disabled_reason),
        ("to", webhook.url),
        ("events", " ".join(webhook.events)),
        ("filter", webhook.filter),
        ("where", _where(webhook)),
        ("for", webhook.description),
        ("owner", webhook.owner),
        ("failures", f"{webhook.failures} in a row" if webhook.failures else None),
        ("last", webhook.last_error),
        ("changed", moment(webhook.updated_at)),
        ("id", webhook.id),
    ]
    output.table([[(name, Meaning.DIM), fact] for name, fact in facts if fact], whole=True)


@webhook.command(
    epilog="""\b
Example:
  dg webhook update ID --to https://other.example.org/dg --event 'lane.*'""",
)
@ID
@click.option("--to", "address", help="The receiver's new address.")
@EVENTS
@FILTER
@DESCRIPTION
@pass_invocation
def update(
    invocation: Invocation,
    id: str,  # noqa: A002
    address: str | None,
    events: tuple[str, ...],
    filter_: str | None,
    description: str | None,
) -> None:
    """Change a webhook; an empty filter or description removes it. It is yours from then on."""
    _update(invocation, id, url=address, events=events or None, filter=filter_, description=description)


@webhook.command()
@ID
@pass_invocation
def enable(invocation: Invocation, id: str) -> None:  # noqa: A002
    """Send events there again. What happened meanwhile is not made up for."""
    _update(invocation, id, enabled=True)


@webhook.command()
@ID
@pass_invocation
def disable(invocation: Invocation, id: str) -> None:  # noqa: A002
    """Send nothing there until it is enabled again."""
    _update(invocation, id, enabled=False)


def _update(invocation: Invocation, webhook_id: str, **wanted: Any) -> None:
    from dg.cli.remote import request, server
    from dg.core.webhooks.models import UpdateWebhook

    asked = request(UpdateWebhook, **wanted)
    if not asked.model_fields_set:
        raise click.UsageError("Name what to change: --to, --event, --filter or --description.")
    with server(invocation) as dg:
        _print(dg.run(dg.client.webhooks.update(webhook_id, asked)), invocation.output)


@webhook.command()
@ID
@pass_invocation
def delete(invocation: Invocation, id: str) -> None:  # noqa: A002
    """Send nothing there any more, and forget it."""
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        gone = dg.run(dg.client.webhooks.delete(id))
    if invocation.json:
        record(invocation.output, gone)
    else:
        invocation.output.line(("deleted", Meaning.OK), f"webhook {gone.id}", (f"to {gone.url}", Meaning.DIM))


@webhook.command()
@ID
@pass_invocation
def rotate(invocation: Invocation, id: str) -> None:  # noqa: A002
    """Give a webhook a new secret and print it, this once. The one before it signs too for a day."""
    from dg.cli.remote import server

    with server(invocation) as dg:
        _print_issued(dg.run(dg.client.webhooks.rotate(id)), invocation.output)


@webhook.command()
@ID
@pass_invocation
def test(invocation: Invocation, id: str) -> int:  # noqa: A002
    """Send a test there now. Exits with 1 when it did not arrive."""
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        sent = dg.run(dg.client.webhooks.test(id))
    output = invocation.output
    if output.json:
        record(output, sent)
    elif sent.state == "sent":
        output.line(output.glyph("ok"), f"it arrived; the receiver answered {sent.http_status}")
    else:
        output.line(output.glyph("fail"), f"it did not arrive: {sent.error}")
    return ExitCode.OK if sent.state == "sent" else ExitCode.FAILED


@webhook.command()
@ID
@click.option("--limit", type=click.IntRange(1, 200), default=20, help="How many at most.")
@pass_invocation
def deliveries(invocation: Invocation, id: str, limit: int) -> None:  # noqa: A002
    """List what was sent to a webhook and what waits, newest first."""
    from dg.cli.remote import now, record, server

    with server(invocation) as dg:
        page = dg.run(dg.client.webhooks.deliveries(id, limit=limit))
    output, at = invocation.output, now()
    if output.json:
        for each in page.items:
            record(output, each)
        return
    output.table(
        [_row(each, output, at) for each in page.items],
        header=("STATE", "EVENT", "SEQ", "TRIES", "AGE", "ANSWER"),
        right=frozenset({2, 3}),
    )


def _row(delivery: WebhookDelivery, output: Output, at: int) -> list[Text]:
    from dg.cli.words import ago

    words = {"sent": "ok", "failed": "fail", "waiting": "busy"}
    glyph, meaning = output.glyph(words[delivery.state])
    return [
        (f"{glyph} {delivery.state}", meaning),
        delivery.event,
        "-" if delivery.seq is None else str(delivery.seq),
        str(delivery.attempts),
        ago(delivery.created_at, at),
        delivery.error or (str(delivery.http_status) if delivery.http_status else "-"),
    ]
