"""`dg health`: how the services of environments are, now and over the last hour."""

from __future__ import annotations

import asyncio
import io
import shutil
import signal
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from dg.cli.errors import ExitCode
from dg.cli.options import Command, Invocation, pass_invocation
from dg.cli.output import Meaning, Output, Text, fitted, width
from dg.cli.params import ENVIRONMENT

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.client.vitals import Line
    from dg.core.health.models import EnvironmentHealth, Series
    from dg.core.types import Environment

    Seen = tuple[EnvironmentHealth, Sequence[Series]]

_OTHER_SCREEN, _OWN_SCREEN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_TOP, _REST, _LINE = "\x1b[H", "\x1b[J", "\x1b[K"
_AGAIN = 5.0
"""Seconds after which a watch looks again though nothing changed: answers go on taking their time."""
_WIDE, _NARROW = 100, 76
"""Columns from which a table has room for a long spark, and for the share of good tries."""
_ENDLESS = 10_000
"""Columns of what no terminal cuts."""


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg health
  dg health production --watch""",
)
@click.argument("environment", metavar="[ENVIRONMENT]", type=ENVIRONMENT, required=False)
@click.option("--watch", is_flag=True, help="Go on showing it until Ctrl-C.")
@pass_invocation
def health(invocation: Invocation, environment: Environment | None, watch: bool) -> int:
    """Show how the services of ENVIRONMENT are, or of all environments that have probes.

    Exits with 1 when one of them is unhealthy.
    """
    from dg.cli.remote import record, server

    output = invocation.output
    with server(invocation) as dg:
        if watch:
            with suppress(KeyboardInterrupt):
                dg.run(_watch(dg.client, environment, output))
            return ExitCode.OK
        seen = dg.run(_gather(dg.client, environment))
    if output.json:
        for found, _ in seen:
            record(output, found)
    else:
        _print(seen, output, _columns(output))
    return ExitCode.FAILED if any(each.status == "unhealthy" for each, _ in seen) else ExitCode.OK


async def _gather(client: Client, environment: Environment | None) -> list[Seen]:
    """The environments asked for, or those that have probes, each with its last hour."""
    from dg.cli.remote import now
    from dg.client.vitals import HOUR
    from dg.core.types import Environment

    names = [environment] if environment else list(Environment)
    found = await asyncio.gather(*(client.health.get(name) for name in names))
    wanted = [each for each in found if environment or each.services]
    since = now() - HOUR
    histories = await asyncio.gather(
        *(client.health.history(each.name, since=since, step="1m") for each in wanted)
    )
    return [(each, history.items) for each, history in zip(wanted, histories, strict=True)]


def _columns(output: Output) -> int:
    return shutil.get_terminal_size().columns if output.terminal else _ENDLESS


def _print(seen: Sequence[Seen], output: Output, columns: int) -> None:
    from dg.cli.remote import now

    if not seen:
        output.line("no environment has probes;", ("dg probe set --help", Meaning.STRONG), "shows how")
    for at, (found, history) in enumerate(seen):
        if at:
            output.line()
        picture(found, history, output, now(), columns)


def picture(
    found: EnvironmentHealth, history: Sequence[Series], output: Output, now: int, columns: int
) -> None:
    """One environment in at most `columns`: its sentence, then a row for each service and its probes."""
    from dg.client.vitals import headline, lines

    glyph = output.glyph(found.status)
    output.line(glyph, (fitted(headline(found, now), columns - 2), Meaning.STRONG))
    cells = 30 if columns >= _WIDE else 12
    rows = [_row(line, output, columns) for line in lines(found, history, now, width=cells)]
    output.table([_cut(row, rows, columns) for row in rows])


def _row(line: Line, output: Output, columns: int) -> list[Text]:
    from dg.client.vitals import spark

    branch = "  " * line.depth + ("└ " if line.depth and output.encodes("└") else "")
    name = fitted(branch + line.name, 30 if columns >= _WIDE else 14)
    sparkled = spark(line.cells)
    shown = sparkled if output.encodes(sparkled) else sparkled.translate(_ASCII)
    uptime: list[Text] = [line.uptime] if columns >= _NARROW else []
    return [
        (name, Meaning.DIM) if line.depth else name,
        output.status(line.status.value),
        line.took,
        (line.since, Meaning.DIM),
        *uptime,
        (shown, Meaning.DIM),
        line.remark,
    ]


_ASCII = str.maketrans("▁▂▃▄▅▆▇█×┄", "_.-=+*#@x.")


def _cut(row: list[Text], rows: Sequence[Sequence[Text]], columns: int) -> list[Text]:
    """The row with its remark cut to what the columns before it leave."""
    before = [max(width(_words(each[at])) for each in rows) for at in range(len(row) - 1)]
    room = columns - sum(before) - 2 * len(before)
    remark = _words(row[-1])
    return [*row[:-1], fitted(remark, room) if room >= 4 else ""]


def _words(text: Text) -> str:
    return text if isinstance(text, str) else text[0]


# --- going on -------------------------------------------------------------------------------------


async def _watch(client: Client, environment: Environment | None, output: Output) -> None:
    """Draw it again whenever something changed, until cancelled; on no terminal, print the changes."""
    changed = asyncio.Event()
    changed.set()
    listening = asyncio.ensure_future(_listen(client, environment, output, changed))
    loop = asyncio.get_running_loop()
    if output.terminal:
        output.stream.write(_OTHER_SCREEN)
        loop.add_signal_handler(signal.SIGWINCH, changed.set)
    try:
        await (_redraw(client, environment, output, changed, listening) if output.terminal else listening)
    finally:
        listening.cancel()
        if output.terminal:
            loop.remove_signal_handler(signal.SIGWINCH)
            output.stream.write(_OWN_SCREEN)
            output.stream.flush()


async def _listen(
    client: Client, environment: Environment | None, output: Output, changed: asyncio.Event
) -> None:
    from dg.cli.events import words
    from dg.cli.remote import record

    matching = "type=environment.health_changed" + (f" env={environment}" if environment else "")
    async with aclosing(client.events.follow(matching=matching)) as events:
        async for event in events:
            changed.set()
            if output.terminal:
                continue
            if output.json:
                record(output, event)
            else:
                output.line(*words(event))
            output.stream.flush()


async def _redraw(
    client: Client,
    environment: Environment | None,
    output: Output,
    changed: asyncio.Event,
    listening: asyncio.Future[None],
) -> None:
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(_AGAIN):
                await changed.wait()
        changed.clear()
        if listening.done():
            await listening
        seen = await _gather(client, environment)
        output.stream.write(_page(seen, output))
        output.stream.flush()


class _Page(io.StringIO):
    """What would be written to the terminal, kept to be cut to its size."""

    def isatty(self) -> bool:
        return True


def _page(seen: Sequence[Seen], output: Output) -> str:
    size = shutil.get_terminal_size()
    page = _Page()
    _print(seen, replace(output, stream=page), size.columns)
    shown = page.getvalue().splitlines()[: size.lines - 1]
    return _TOP + "".join(f"{line}{_LINE}\n" for line in shown) + _REST
