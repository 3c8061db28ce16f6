"""`dg dora`: how a team delivers, in four figures and with what they were counted from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dg.cli.options import Command, Invocation, pass_invocation
from dg.cli.output import Meaning, Output, Text
from dg.cli.params import ENVIRONMENT
from dg.client.words import duration

if TYPE_CHECKING:
    from dg.core.deployments.figures import DoraFigures, Incident, LeadTime, Recovery
    from dg.core.types import Environment


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg dora
  dg dora --service web --days 90 --rows
  dg --json dora --rows | jq .change_failure""",
)
@click.option("--service", help="Only this service.")
@click.option("--env", "environment", type=ENVIRONMENT, help="Of this environment [production].")
@click.option("--days", type=click.IntRange(1, 366), default=30, show_default=True, help="How far back.")
@click.option("--rows", is_flag=True, help="Print what each figure was counted from.")
@pass_invocation
def dora(
    invocation: Invocation, service: str | None, environment: Environment | None, days: int, rows: bool
) -> None:
    """Print deployment frequency, lead time, change failure and recovery."""
    from dg.cli.remote import record, server
    from dg.core.types import Environment

    asked = environment or Environment.PRODUCTION
    with server(invocation) as dg:
        found = dg.run(dg.client.figures.dora(environment=asked, service=service, days=days, rows=rows))
    output = invocation.output
    if output.json:
        record(output, found)
        return
    _print(found, days, output)
    if rows:
        _print_rows(found, output)


def _print(found: DoraFigures, days: int, output: Output) -> None:
    from dg.cli.words import moment

    span = "the last day" if days == 1 else f"the last {days} days"
    where = f"{found.service or 'all services'} in {found.environment.value}"
    output.line((where, Meaning.STRONG), f"over {span}, to {moment(found.until)}")
    output.table([[(f"  {name}", Meaning.DIM), *texts] for name, *texts in _lines(found)])


def _lines(found: DoraFigures) -> list[list[str]]:
    """Each figure's name, what it is, and what it was counted from."""
    often, failed = found.frequency, found.change_failure
    rate = "-" if failed.rate is None else f"{failed.rate:.1%}"
    return [
        [
            "deployment frequency",
            f"{often.per_day:.2f} a day, {often.per_week:.1f} a week",
            f"{often.deployments} succeeded",
        ],
        ["lead time", _spread(found.lead_time), _counted(found.lead_time)],
        ["change failure", rate, f"{failed.failures} of {failed.deployments} failed or were rolled back"],
        ["recovery", _spread(found.recovery), _recovered(found.recovery)],
    ]


def _spread(figure: LeadTime | Recovery) -> str:
    if figure.median is None or figure.p90 is None:
        return "-"
    return f"median {duration(figure.median)}, 90 % within {duration(figure.p90)}"


def _counted(figure: LeadTime) -> str:
    told = f"{_many(figure.commits, 'commit')} in {_many(figure.deployments, 'deployment')}"
    unknown = len(figure.unknown)
    return f"{told}; the commits of {unknown} more are not known any more" if unknown else told


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _recovered(figure: Recovery) -> str:
    told = f"{figure.incidents - figure.open} of {figure.incidents} incidents are over"
    return told if figure.incidents else "no incident"


def _print_rows(found: DoraFigures, output: Output) -> None:
    from dg.cli.words import moment

    def section(title: str, rows: list[list[Text]]) -> None:
        if rows:
            output.line()
            output.line((title, Meaning.STRONG))
            output.table(rows)

    section("succeeded", [[f"  {id_}"] for id_ in found.frequency.rows or ()])
    section(
        "commit to success",
        [
            [f"  {row.commit[:7]}", moment(row.committed_at), duration(row.seconds), row.deployment]
            for row in found.lead_time.rows or ()
        ],
    )
    section(
        "touched the environment",
        [
            [f"  {row.deployment}", ("failed", Meaning.ERR) if row.failed else ("well", Meaning.OK)]
            for row in found.change_failure.rows or ()
        ],
    )
    section("incidents", [_incident(row) for row in found.recovery.rows or ()])


def _incident(row: Incident) -> list[Text]:
    from dg.cli.words import moment

    ended: Text = ("not over yet", Meaning.ERR) if row.seconds is None else duration(row.seconds)
    by = f"by {row.recovered_by}" if row.recovered_by else ""
    return [f"  {row.service}", moment(row.began_at), row.deployment, ended, by]
