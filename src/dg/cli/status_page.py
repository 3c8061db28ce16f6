"""`dg status-page`: a page for the public about the services that the settings name."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dg.cli.options import Command, Invocation, pass_invocation

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.client.models import Event
    from dg.client.statuspage import Incident, Row
    from dg.settings.probes import PublicService, StatusPage

_AGAIN = 60.0
"""Seconds after which a watch writes it again though nothing changed."""


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg status-page --out /var/www/status/index.html --watch""",
)
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to; standard output without.",
)
@click.option("--watch", is_flag=True, help="Write it again at every change, until Ctrl-C.")
@pass_invocation
def status_page(invocation: Invocation, out: Path | None, watch: bool) -> None:
    """Write a page for the public: one HTML file about the services that [status_page] names."""
    from dg.cli.remote import server
    from dg.core.errors import Refused

    if watch and out is None:
        raise click.UsageError("--watch writes a file again and again: name it with --out")
    wanted = invocation.settings().settings.status_page
    if not wanted.services:
        raise Refused(
            "nothing may be shown to the public: name services in the settings, such as "
            '[status_page.services.shop] with service = "shop"',
            reason="nothing_public",
        )
    with server(invocation) as dg:
        if watch and out is not None:
            with suppress(KeyboardInterrupt):
                dg.run(_watch(dg.client, wanted, out))
            return
        text = dg.run(_page(dg.client, wanted))
    if out is None:
        click.echo(text, nl=False)
    else:
        _write(out, text)


async def _page(client: Client, wanted: StatusPage) -> str:
    from dg.cli.remote import now
    from dg.client.statuspage import page

    at = now()
    found = await asyncio.gather(*(_seen(client, *each, at) for each in wanted.services.items()))
    incidents = [each for _, told in found for each in told]
    return page(wanted.title, [row for row, _ in found], incidents, at)


async def _seen(client: Client, key: str, public: PublicService, now: int) -> tuple[Row, list[Incident]]:
    """One service as the public sees it. What has no probe is not known."""
    from dg.client.statuspage import DAY, DAYS, incidents, row
    from dg.core.health.models import Status
    from dg.core.types import Environment

    environment, name = Environment(public.environment), public.name or key
    since = now - DAYS * DAY
    matching = f"type=environment.health_changed env={environment} service={public.service}"
    health, history, changes = await asyncio.gather(
        client.health.get(environment),
        client.health.history(environment, service=public.service, since=since, until=now, step="1d"),
        _changes(client, matching),
    )
    statuses: Mapping[str, Status] = {each.name: each.status for each in health.services}
    status = statuses.get(public.service, Status.UNKNOWN)
    return row(name, status, history.items, now), incidents(name, changes, since)


async def _changes(client: Client, matching: str) -> list[Event]:
    return [event async for event in client.events.all(matching=matching)]


def _write(out: Path, text: str) -> None:
    """Replace the file in one step; a web server may read it. Raises Refused."""
    from dg.core.errors import Refused

    fresh = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        fresh.write_text(text, "utf-8")
        fresh.chmod(0o644)
        fresh.replace(out)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise Refused(f"--out: {out} cannot be written: {error.strerror}", reason="unwritable") from None


async def _watch(client: Client, wanted: StatusPage, out: Path) -> None:
    changed = asyncio.Event()
    listening = asyncio.ensure_future(_listen(client, changed))
    try:
        while True:
            changed.clear()
            text = await _page(client, wanted)
            await asyncio.to_thread(_write, out, text)
            with suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN):
                    await changed.wait()
            if listening.done():
                await listening
    finally:
        listening.cancel()


async def _listen(client: Client, changed: asyncio.Event) -> None:
    async with aclosing(client.events.follow(matching="type=environment.health_changed")) as events:
        async for _ in events:
            changed.set()
