"""`dg status --as-of`: what ran where at a moment that is over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dg.cli.options import Invocation
from dg.cli.output import Meaning, Output, Text
from dg.cli.words import ago, labelled

if TYPE_CHECKING:
    from dg.core.past.models import PastEnvironment, PastLane
    from dg.core.types import Environment


def show_past(
    invocation: Invocation, service: str | None, environment: Environment | None, then: int
) -> None:
    """Print the lanes as they were at `then` (microseconds)."""
    from dg.cli.remote import now, server
    from dg.client.moments import spoken
    from dg.client.past import as_of
    from dg.core.types import Environment

    with server(invocation) as dg:
        found = dg.run(as_of(dg.client, then, (environment,) if environment else tuple(Environment)))
    found = tuple(_only(each, service) for each in found)
    output = invocation.output
    if output.json:
        from dg.client.wire import encode

        output.record({"environments": [encode(each) for each in found]})
        return
    passed = ago(then, now())
    output.line(
        (f"AS OF {spoken(then)}", Meaning.WARN), (f"({passed} ago): what was, not what is", Meaning.DIM)
    )
    rows = [_row(each, lane, output, then) for each in found for lane in each.lanes]
    if not rows:
        output.line("nothing was registered here then")
        return
    output.table(rows, header=("SERVICE", "ENVIRONMENT", "RAN", "BY", "SINCE", "LANE", "HEALTH"))
    if told := list(_sentences(found, output)):
        output.line()
        for row in told:
            output.line(*row)


def _only(found: PastEnvironment, service: str | None) -> PastEnvironment:
    if service is None:
        return found
    lanes = tuple(each for each in found.lanes if each.service == service)
    services = tuple(each for each in found.services if each.service == service)
    return found.model_copy(update={"lanes": lanes, "services": services})


def _row(found: PastEnvironment, lane: PastLane, output: Output, then: int) -> list[Text]:
    ran: Text = ("not known", Meaning.WARN) if not lane.known else ("nothing yet", Meaning.DIM)
    by = since = ""
    if current := lane.current:
        ran = labelled(current.version, current.commit_sha), Meaning.STRONG
        by, since = current.by_name or current.by, f"{ago(current.completed_at, then)} before"
    health = next((each.status.value for each in found.services if each.service == lane.service), None)
    how = output.status(health) if health else ("", Meaning.DIM)
    return [lane.service, found.name.value, ran, by, since, output.status(lane.state.value), how]


def _sentences(found: Iterable[PastEnvironment], output: Output) -> Iterable[list[Text]]:
    """What was not simply open, what ran instead of what was deployed, and what was not well."""
    for each in found:
        for lane in each.lanes:
            if lane.state.value != "open" or not lane.known:
                yield [output.glyph(lane.state.value), lane.sentence]
            if lane.drift:
                where = f"{lane.service} in {each.name} ran {lane.drift.found}, as a check had found"
                yield [output.glyph("drifted"), where]
        for told in each.services:
            if told.status.value != "healthy":
                said = f": {told.message}" if told.message else ""
                yield [
                    output.glyph(told.status.value),
                    f"{told.service} in {each.name} was {told.status}{said}",
                ]
