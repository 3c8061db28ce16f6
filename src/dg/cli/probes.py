"""`dg probe`: what is asked of the services of environments, and what it finds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from dg.cli.environments import NAME, REASON
from dg.cli.options import Group, Invocation, pass_invocation
from dg.cli.output import Meaning, Output, Text
from dg.cli.words import SECOND
from dg.client.words import age, duration, time_ago

if TYPE_CHECKING:
    from dg.core.environments.models import EnvironmentState
    from dg.core.health.models import ProbeState, ProbeTest
    from dg.core.types import Environment

PROBE = click.argument("name", metavar="NAME")
PAIRS = click.argument("pairs", metavar="KEY=VALUE", nargs=-1)


@click.command(cls=Group)
def probe() -> None:
    """Set, show and try probes of environments' health."""


@probe.command("list")
@NAME
@pass_invocation
def list_probes(invocation: Invocation, environment: Environment) -> None:
    """List the probes of ENVIRONMENT and how they stand."""
    from dg.cli.remote import now, record, server

    with server(invocation) as dg:
        found = dg.run(dg.client.health.probes(environment))
    output = invocation.output
    if output.json:
        for each in found:
            record(output, each)
    elif not found:
        output.line(f"{environment} has no probes;", ("dg probe set --help", Meaning.STRONG), "shows how")
    else:
        rows = [_row(each, output, now()) for each in found]
        output.table(rows, header=("PROBE", "KIND", "SERVICE", "STATUS", "CHECKED", "TOOK", ""), whole=True)


def _row(state: ProbeState, output: Output, now: int) -> list[Text]:
    return [
        state.name,
        state.kind,
        state.service,
        output.status(state.status.value),
        "never" if state.last_checked is None else time_ago((now - state.last_checked) / SECOND),
        took(state.response_time),
        remark(state),
    ]


def took(seconds: float | None) -> str:
    """How long an answer took."""
    if seconds is None:
        return ""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else duration(seconds)


def remark(state: ProbeState) -> str:
    """Why a probe stands as it does."""
    said = [
        "in maintenance" if state.maintenance else "",
        f"because of {state.because}" if state.because else "",
        state.message or "",
    ]
    return "; ".join(filter(None, said))


@probe.command()
@NAME
@PROBE
@pass_invocation
def show(invocation: Invocation, environment: Environment, name: str) -> None:
    """Show the probe NAME of ENVIRONMENT: what it asks, and what it found."""
    from dg.cli.remote import now, record, server

    with server(invocation) as dg:
        found = dg.run(dg.client.health.probes(environment))
    state = next((each for each in found if each.name == name), None)
    if state is None:
        raise click.UsageError(f"{environment} has no probe {name}: dg probe list {environment}")
    output = invocation.output
    if output.json:
        record(output, state)
        return
    output.line((f"{environment.value}/{name}", Meaning.STRONG), output.status(state.status.value))
    rows: list[list[Text]] = [["", remark(state)]] if remark(state) else []
    rows += [["checked", time_ago((now() - state.last_checked) / SECOND)]] if state.last_checked else []
    rows += [["since", age((now() - state.since) / SECOND)]] if state.since else []
    rows += [["took", took(state.response_time)]] if state.response_time is not None else []
    rows += [[f"good, {word}", f"{share:.3%}"] for word, share in state.uptime.model_dump().items() if share]
    rows += [[key, _text(value)] for key, value in state.definition.items()]
    output.table(rows, whole=True)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@probe.command(
    "set",
    epilog="""\b
Examples:
  dg probe set staging web kind=http service=shop url=https://s.example.com/up
  dg probe set staging db kind=postgresql service=shop secret=database_url
  dg probe set staging web interval=5s --reason 'look more often'""",
)
@NAME
@PROBE
@PAIRS
@click.option("--unset", "unset", multiple=True, metavar="KEY", help="Take this key away; again for more.")
@REASON
@pass_invocation
def set_(
    invocation: Invocation,
    environment: Environment,
    name: str,
    pairs: tuple[str, ...],
    unset: tuple[str, ...],
    reason: str | None,
) -> None:
    """Set keys of the probe NAME of ENVIRONMENT; the others stay.

    A VALUE that is JSON (a number, true, a list) is that, any other is text.
    """
    from dg.cli.remote import server

    given = dict(map(_pair, pairs))
    if not given and not unset:
        raise click.UsageError("say what to set: KEY=VALUE, or --unset KEY")
    with server(invocation) as dg:
        before = dg.run(dg.client.environments.get(environment))
        kept = {key: value for key, value in before.probes.get(name, {}).items() if key not in unset}
        after = dg.run(
            dg.client.health.set_probe(
                environment, name, kept | given, reason=reason, expected=before.version
            )
        )
    _done(invocation.output, after, f"{name} is set in")


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.UsageError("write it as KEY=VALUE")
    try:
        return key, json.loads(value)
    except (ValueError, RecursionError):
        return key, value


def _done(output: Output, after: EnvironmentState, done: str) -> None:
    from dg.cli.remote import record

    if output.json:
        record(output, after)
    else:
        output.line(output.glyph("ok"), done, f"{after.name.value}, version {after.version}")


@probe.command()
@NAME
@PROBE
@REASON
@pass_invocation
def remove(invocation: Invocation, environment: Environment, name: str, reason: str | None) -> None:
    """Take the probe NAME of ENVIRONMENT away. Restoring an older version brings it back."""
    from dg.cli.remote import server

    with server(invocation) as dg:
        after = dg.run(dg.client.health.set_probe(environment, name, None, reason=reason))
    _done(invocation.output, after, f"{name} is removed from")


@probe.command(
    epilog="""\b
Examples:
  dg probe test staging web
  dg probe test staging web timeout=1s
  dg probe test staging new kind=http service=shop url=https://example.com/up""",
)
@NAME
@PROBE
@PAIRS
@pass_invocation
def test(invocation: Invocation, environment: Environment, name: str, pairs: tuple[str, ...]) -> None:
    """Ask once, now, what the probe NAME of ENVIRONMENT asks, and keep nothing of it.

    With KEY=VALUE, ask as if it were configured so; a NAME that there is not yet takes all its keys. Ends
    with 1 unless it passes.
    """
    from dg.cli.errors import ExitCode
    from dg.cli.remote import record, server

    given = dict(map(_pair, pairs))
    with server(invocation) as dg:
        if given:
            given = dg.run(dg.client.environments.get(environment)).probes.get(name, {}) | given
        found = dg.run(dg.client.health.test(environment, name, given or None))
    if invocation.output.json:
        record(invocation.output, found)
    else:
        _print_test(found, invocation.output)
    if found.outcome != "passed":
        raise click.exceptions.Exit(ExitCode.FAILED)


def _print_test(found: ProbeTest, output: Output) -> None:
    output.line(output.status(found.status.value), found.message)
    rows: list[list[Text]] = [["took", took(found.response_time)]] if found.response_time is not None else []
    output.table(rows + [[key, _text(value)] for key, value in found.facts.items()], whole=True)


@probe.command()
@NAME
@PROBE
@click.option("--failed", metavar="WHY", help="Say that something is wrong, and what.")
@pass_invocation
def beat(invocation: Invocation, environment: Environment, name: str, failed: str | None) -> None:
    """Send a beat to the heartbeat NAME of ENVIRONMENT, as the job does that it watches."""
    from dg.cli.remote import record, server

    with server(invocation) as dg:
        found = dg.run(dg.client.health.beat(environment, name, ok=failed is None, message=failed))
    if invocation.output.json:
        record(invocation.output, found)
    else:
        invocation.output.line(invocation.output.status(found.status.value), name)
