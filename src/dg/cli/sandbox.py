"""`dg sandbox`: real deployments on hosts of its own, shown as they happen, one line for each fact."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dg.cli.errors import ExitCode
from dg.cli.options import Command, Invocation, pass_invocation
from dg.cli.output import Meaning, Output, Text, fitted, width
from dg.core.text import plain

if TYPE_CHECKING:
    from dg.sandbox.home import SandboxHome
    from dg.sandbox.scene import Fact, Scene

WIDEST = 104
INDENT = 25
"""Columns before a fact's words: its time, glyph and place."""

INNER = 12
"""Columns before what belongs to a fact: a commit, a log's line."""

SHELL = 2
"""Columns before a command and its output, which need room."""

NARROW = 40
"""Cells of a table's last column below which it is cut and not wrapped."""

STATUS = {
    "deployed": "success",
    "answers": "success",
    "healthy": "healthy",
    "unhealthy": "unhealthy",
    "lost": "failed",
    "restored": "success",
    "failed": "failed",
    "rolled_back": "rolled_back",
    "locked": "warn",
    "refused": "warn",
    "waits": "needs_approval",
    "closed": "warn",
    "denied": "warn",
    "overridden": "warn",
    "forged": "warn",
}
"""The status whose glyph and colour a fact has; the others are `ok`."""


@click.command(cls=Command)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="The server's port  [default: a free one]"
)
@click.option("--keep", is_flag=True, help="Stay up after the story, until Ctrl-C, to look around.")
@click.option("--slack", is_flag=True, help="Tell it in a Slack too, on a page of its own.")
@click.option("--no-dashboard", is_flag=True, help="End after the story, on a terminal too.")
@pass_invocation
def sandbox(invocation: Invocation, port: int, keep: bool, slack: bool, no_dashboard: bool) -> int:
    """Watch real deployments run, fail and roll back.

    Makes a small web shop with its git repository, three hosts and a dg server, all on this machine. One
    person deploys two good releases and a bad one, a second one approves them. Everything is real and in one
    folder, which is removed at the end unless --keep or --home is given. On a terminal the dashboard opens
    after the story, with everything in it to look at and to change; leaving it ends the sandbox.

    \b
    dg sandbox
    dg sandbox --no-dashboard
    dg sandbox --keep --port 8470
    dg sandbox --keep --slack
    """
    import asyncio

    from dg.core.clock import SystemClock
    from dg.sandbox.app import Options, run

    dashboard = not no_dashboard and can_show_dashboard(invocation)
    options = Options(invocation.home, port, keep, slack, dashboard)
    narrator = (
        Records(invocation.output) if invocation.json else Lines(invocation.output, dashboard=dashboard)
    )
    try:
        well = asyncio.run(run(options, narrator, SystemClock()))
    except asyncio.CancelledError:
        narrator.leave()
        return ExitCode.INTERRUPTED
    finally:
        narrator.pause()
    if keep or (dashboard and well):
        narrator.leave()
    return ExitCode.OK if well else ExitCode.FAILED


def can_show_dashboard(invocation: Invocation) -> bool:
    """Whether a person sits before a terminal that can be drawn on."""
    drawn_on = invocation.environ.get("TERM") not in (None, "", "dumb")
    return not invocation.json and drawn_on and sys.stdin.isatty() and sys.stdout.isatty()


class Records:
    """The story as JSON lines."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def begin(self, home: SandboxHome) -> None:
        self._record({"fact": "home", "path": str(home.path), "removed": home.passing})

    def tell(self, fact: Fact) -> None:
        said = {"fact": fact.name, "at": round(fact.at, 3), "where": fact.where, "text": fact.text}
        took = {} if fact.seconds is None else {"seconds": round(fact.seconds, 3)}
        self._record({**said, **took, **fact.details})

    def busy(self, where: str, text: str, at: float) -> None:
        """Programs read facts only."""

    def pause(self) -> None:
        """Nothing is half said."""

    def leave(self) -> None:
        """Programs see the end of the output."""

    def differ(self, message: str) -> None:
        self._record({"fact": "different", "text": message})

    def lead_in(self) -> None:
        """Programs have no terminal to show it on."""

    def invite(self, scene: Scene) -> None:
        self._record({"fact": "kept", "path": str(scene.home.path), "url": scene.client.url})

    def _record(self, value: dict[str, object]) -> None:
        self._output.record(value)
        self._output.stream.flush()


class Lines:
    """The story for people."""

    def __init__(self, output: Output, *, dashboard: bool = False) -> None:
        self._output = output
        self._dashboard = dashboard
        self._columns = min(shutil.get_terminal_size((100, 24)).columns, WIDEST)
        self._live = output.terminal and output.environ.get("TERM") != "dumb"
        self._home: SandboxHome | None = None

    def begin(self, home: SandboxHome) -> None:
        self._home = home
        end = "removed at the end" if home.passing else "which stays"
        about = f"Every step, check, answer and log line is real. All is in {home.path}, {end}."
        self._print(
            [("A web shop, two people, three hosts, a dg server and one bad release.", Meaning.STRONG)],
            *([(line, Meaning.DIM)] for line in textwrap.wrap(about, self._columns, break_on_hyphens=False)),
            [],
        )

    def tell(self, fact: Fact) -> None:
        self._print(*rows(fact, self._output, self._columns))
        if fact.name == "end" and self._home and self._home.passing and not self._dashboard:
            self._print([f"Look around in it yourself: {own_name()} sandbox --keep"])

    def busy(self, where: str, text: str, at: float) -> None:
        if self._live:
            glyph, _ = self._output.glyph("deploying")
            line = f"{at:6.1f} s  {glyph} {where:<12} {plain(text)}"
            self._output.stream.write(f"\r{fitted(line, self._columns - 1)}\x1b[K")
            self._output.stream.flush()

    def pause(self) -> None:
        """Take away what `busy` said."""
        if self._live:
            self._output.stream.write("\r\x1b[K")
            self._output.stream.flush()

    def leave(self) -> None:
        """Somebody ended it."""
        stays = f"; {self._home.path} stays." if self._home and not self._home.passing else "."
        self._print([], [(f"Everything that it started has ended{stays}", Meaning.DIM)])

    def differ(self, message: str) -> None:
        glyph, meaning = self._output.glyph("failed")
        first, *more = message.splitlines()
        self._print(
            [],
            [(f"{glyph} The story went differently: {first}", meaning)],
            *(["   " + line] for line in more),
        )

    def lead_in(self) -> None:
        said = "Now the dashboard opens on all of this: ? shows its keys, q leaves it"
        after = "." if self._home and not self._home.passing else " and ends the sandbox."
        self._print([], [(said + after, Meaning.STRONG)])

    def invite(self, scene: Scene) -> None:
        self._print([], [("It stays up until Ctrl-C. In another terminal:", Meaning.STRONG)])
        self._print(*invitation(scene, own_name(), self._columns))

    def _print(self, *lines: Sequence[Text]) -> None:
        self.pause()
        for line in lines:
            self._output.line(*line)
        self._output.stream.flush()


def rows(fact: Fact, output: Output, columns: int) -> Iterator[list[Text]]:
    """The lines of one fact, each of at most `columns` cells."""
    glyph, meaning = output.glyph(STATUS.get(fact.name, "ok"))
    match fact.name:
        case "chapter":
            yield []
            yield [(fact.text, Meaning.STRONG)]
        case "commit":
            yield [" " * (INNER - 1), ("+ " + fact.aside, Meaning.DIM), fact.text]
        case "command":
            yield [" " * (SHELL - 1), ("$ " + fact.text, Meaning.STRONG)]
        case "check" | "log":
            colour = Meaning.ERR if fact.name == "check" else Meaning.DIM
            for line in _fold(fact, columns - INNER - 2):
                yield [" " * (INNER - 1), (f"{_bar(output)} {line}", colour)]
        case "output":
            for line in hung(plain(fact.text), columns - SHELL - 2):
                yield [" " * (SHELL - 1), (_bar(output), Meaning.DIM), *filter(None, [line])]
        case "end":
            yield []
            yield [(f"{glyph} {fact.text}", meaning)]
            yield [(f"  {fact.aside}", Meaning.DIM)]
        case _:
            yield from _row(fact, (glyph, meaning), columns)


def _fold(fact: Fact, room: int) -> list[str]:
    """A log's line is cut, since its layout means something; a sentence is wrapped."""
    text = plain(fact.text)
    return [fitted(text, room)] if fact.name == "log" else textwrap.wrap(text, room) or [""]


def hung(line: str, room: int) -> list[str]:
    """A line of a command's output: what is too wide is wrapped under the column that it stands in."""
    columns = list(re.finditer(r"  (?=\S)", line))
    start = columns[-1].end() if columns else 0
    if width(line) <= room or room - start < NARROW:
        return [fitted(line, room)]
    wrapper = textwrap.TextWrapper(
        room, line[:start], " " * start, break_long_words=False, break_on_hyphens=False
    )
    return [fitted(part, room) for part in wrapper.wrap(line[start:])]


def _bar(output: Output) -> str:
    return "│" if output.encodes("│") else "|"


def _row(fact: Fact, mark: tuple[str, Meaning], columns: int) -> Iterator[list[Text]]:
    took = "" if fact.seconds is None else f"{fact.seconds:.1f} s"
    room = columns - INDENT - (8 if took or fact.aside else 0)
    first, *more = textwrap.wrap(plain(fact.text), room - bool(took)) or [""]
    left = room - width(first) - 2
    aside = fact.aside if not more and width(fact.aside) <= left else ""
    words: list[Text] = [(first, mark[1]) if fact.name in STATUS else first]
    if aside or took:
        words += [(f" {aside}{' ' * (left + 1 - width(aside))}", Meaning.DIM), f"{took:>6}"]
    yield [(f"{fact.at:6.1f} s ", Meaning.DIM), mark, f"{fact.where:<12}", *words]
    for line in more:
        yield [" " * (INDENT - 1), (line, mark[1]) if fact.name in STATUS else line]


def invitation(scene: Scene, name: str, columns: int) -> list[list[Text]]:
    """Commands to try while the sandbox stays up, and what each is good for where there is room."""
    home = f"--home {shlex.quote(str(scene.home.path))}"
    production = next(host.site for environment, host in scene.hosts.items() if environment == "production")
    commands: tuple[tuple[str, str], ...] = (
        (f"{name} status {home}", "what runs where"),
        (f"{name} show latest {home}", "the last deployment"),
        (f"{name} logs latest {home}", "what its steps said"),
        (f"{name} why shop production {home}", "what closes it"),
        (f"{name} health {home}", "how the shops are"),
        (f"{name} backup list {home}", "what comes back"),
        (f"{name} events {home}", "all that happened"),
        (f"{name} lane unlock shop production {home}", "open the lane"),
        (f"{name} deploy shop v1.1.0 --env staging --wait {home}", "deploy"),
        (f"curl -i {production}/products", "be a customer"),
        (f"git -C {shlex.quote(str(scene.repository.path))} log", "what is deployed"),
    )
    if scene.slack is not None:
        commands = ((f"open {scene.slack}", "the same in Slack"), *commands)
    size = max(len(command) for command, _ in commands)
    if size + 23 > columns:
        return [[f"  {command}"] for command, _ in commands]
    return [[f"  {command:<{size}} ", (meaning, Meaning.DIM)] for command, meaning in commands]


def own_name() -> str:
    """How the caller can start dg: the clone's `bin/dg` as seen from here, or `dg`."""
    script = Path(sys.argv[0]).absolute()
    clone = script.parents[min(2, len(script.parents) - 1)] / "bin" / "dg"
    if script.name != "dg" or not os.access(clone, os.X_OK) or clone == script:
        return "dg"
    near = os.path.relpath(clone)
    return str(clone) if near.startswith("..") else near
