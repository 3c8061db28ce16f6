"""`dg deploy`, `status`, `show`, `logs`, `cancel`, `rollback`: deployments from the command line."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from dg.cli.errors import ExitCode
from dg.cli.options import Command, Invocation, pass_invocation
from dg.cli.output import Meaning
from dg.cli.params import ENVIRONMENT, Before, Key, Moment
from dg.core.errors import Problem

if TYPE_CHECKING:
    from dg.cli.output import Output
    from dg.client.sync import Blocking
    from dg.core.deployments.models import Deployment, RequestRollback
    from dg.core.deployments.previews import RollbackPreview
    from dg.core.types import Environment

WAIT = click.option("--wait", is_flag=True, help="Watch it until it has ended; exit with 1 when it failed.")


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg deploy web main --env staging --wait
  dg deploy web v1.4.2 --env production --version 1.4.2 --note "spring prices"
  dg deploy web 9f1c2ab --env production --at 22:00 --until 23:00""",
)
@click.argument("service")
@click.argument("ref")
@click.option(
    "--env",
    "environment",
    type=ENVIRONMENT,
    required=True,
    help="Where to: development, staging or production.",
)
@click.option("--version", help="What to call it; the short commit when left out.")
@click.option("--note", help="A word for those who read the history.")
@click.option(
    "--at", "not_before", type=Moment(), help="Not before this time: 22:00, 2h, or 2026-11-27T09:00Z."
)
@click.option(
    "--until", "expires_at", type=Moment(), help="Not at all once this time has come and it still waits."
)
@click.option(
    "--key", type=Key(), help="The same key within a day means the same deployment: for jobs that ask again."
)
@click.option("--base", "base_sha", metavar="COMMIT", help="Only if this commit still runs there.")
@WAIT
@pass_invocation
def deploy(
    invocation: Invocation,
    service: str,
    ref: str,
    environment: Environment,
    version: str | None,
    note: str | None,
    not_before: int | None,
    expires_at: int | None,
    key: str | None,
    base_sha: str | None,
    wait: bool,
) -> int:
    """Deploy REF (a branch, tag or commit) of SERVICE."""
    from dg.cli.remote import request, server
    from dg.core.deployments.models import CreateDeployment

    asked = request(
        CreateDeployment,
        environment=environment,
        service=service,
        ref=ref,
        version=version,
        note=note,
        not_before=not_before,
        expires_at=expires_at,
        base_sha=base_sha.lower() if base_sha else None,
    )
    with server(invocation) as dg:
        return carry_out(dg, dg.run(dg.client.deployments.create(asked, key=key)), invocation.output, wait)


def carry_out(dg: Blocking, deployment: Deployment, output: Output, wait: bool) -> int:
    """Watch a new deployment to its end, or say how to."""
    from dg.cli.remote import record
    from dg.cli.watch import watch
    from dg.cli.words import outcome

    if wait:
        return watch(dg, deployment, output)
    if output.json:
        record(output, deployment)
    else:
        if not (deployment.hold or deployment.not_before):
            # What a new one waits for is told to whoever looks. It is made, whatever becomes of this look.
            with suppress(Problem):
                deployment = dg.run(dg.client.deployments.get(deployment.id))
        output.line(*outcome(deployment, output))
        output.line(("  follow it:", Meaning.DIM), f"dg logs {deployment.id} -f")
    return ExitCode.OK


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg status web --env production
  dg status --as-of 08:20
  dg --json status --as-of 2026-11-26T08:20:00Z""",
)
@click.argument("service", required=False)
@click.option("--env", "environment", type=ENVIRONMENT, help="Only this environment.")
@click.option("--as-of", "then", type=Before(), help="As it was then: 08:20, 2h, 2026-11-26T08:20Z.")
@pass_invocation
def status(
    invocation: Invocation, service: str | None, environment: Environment | None, then: int | None
) -> None:
    """Show what runs where, what is under way, what is closed."""
    from dg.cli.board import as_json, board, gather, sentences, under_way
    from dg.cli.past import show_past
    from dg.cli.remote import now, server
    from dg.cli.words import NOTHING_REGISTERED

    if then is not None:
        show_past(invocation, service, environment, then)
        return
    with server(invocation) as dg:
        seen = dg.run(gather(dg.client, service, environment))
    output = invocation.output
    if output.json:
        output.record(as_json(seen))
        return
    if not seen.lanes:
        output.line(*NOTHING_REGISTERED)
        return
    output.table(board(seen, output, now()), header=("SERVICE", "ENVIRONMENT", "RUNS", "AGE", "LANE"))
    if told := sentences(seen, output):
        output.line()
        for row in told:
            output.line(*row)
    if seen.active:
        output.line()
        output.table(
            under_way(seen, output, now()), header=("#", "WHAT", "WHERE", "STATE", "BY", "AGE", "ID")
        )


@click.command(cls=Command)
@click.argument("id", metavar="ID")
@pass_invocation
def show(invocation: Invocation, id: str) -> None:  # noqa: A002  the argument's name is the metavar's
    """Show one deployment: its steps, commits and outcome. ID may be a number or `latest`."""
    from dg.cli.remote import record, server
    from dg.cli.show import print_deployment, print_suspicion
    from dg.core.errors import Forbidden, NotFound

    with server(invocation) as dg:
        found = find(dg, id)
        if invocation.json:
            record(invocation.output, found)
            return
        progress = dg.run(dg.client.deployments.status(found.id))
        changes = dg.run(dg.client.deployments.changes(found.id))
        print_deployment(found, progress.steps, changes, invocation.output)
        # Who may see one service's deployments may not see the health of all of its environment.
        with suppress(Forbidden, NotFound):
            print_suspicion(found, dg.run(dg.client.health.get(found.environment)), invocation.output)


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg logs latest -f
  dg logs 019acd5e-7c00-7000-8000-000000000000 --after 5000
  dg logs latest --raw > deploy.log""",
)
@click.argument("id", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on until the deployment has ended.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Begin with this line.")
@click.option("--raw", is_flag=True, help="The bytes as they were printed, colours and all.")
@pass_invocation
def logs(invocation: Invocation, id: str, follow: bool, after: int, raw: bool) -> None:  # noqa: A002
    """Print what a deployment's steps printed. ID may be a number or `latest`."""
    from dg.cli.logs import Printer
    from dg.cli.remote import server
    from dg.cli.words import outcome

    if raw and (follow or after or invocation.json):
        raise click.UsageError("--raw is the whole log as it is: leave out --follow, --after and --json.")
    with server(invocation) as dg:
        deployment = find(dg, id)
        if raw:
            for block in dg.each(dg.client.deployments.raw_logs(deployment.id)):
                sys.stdout.buffer.write(block)
            return
        output = invocation.output
        steps = dg.run(dg.client.deployments.steps(deployment.id)) if output.terminal else ()
        printer = Printer(output, steps)
        follower = dg.client.deployments.follow_logs if follow else dg.client.deployments.all_logs
        for page in dg.each(follower(deployment.id, after=after)):
            printer.page(page)
        if follow and output.terminal:
            output.line(*outcome(dg.run(dg.client.deployments.get(deployment.id)), output))


@click.command(cls=Command)
@click.argument("id", metavar="ID")
@click.option("--then-rollback", is_flag=True, help="Roll the lane back once it has stopped.")
@click.option("--reason", help="Why; kept in the history.")
@pass_invocation
def cancel(invocation: Invocation, id: str, then_rollback: bool, reason: str | None) -> None:  # noqa: A002
    """Stop a deployment that waits or runs."""
    from dg.cli.remote import record, server
    from dg.cli.words import named

    with server(invocation) as dg:
        stopped = dg.run(
            dg.client.deployments.cancel(find_id(dg, id), then_rollback=then_rollback, reason=reason)
        )
    output = invocation.output
    if output.json:
        record(output, stopped)
    elif stopped.completed_at is None:
        output.line(
            ("stopping", Meaning.WARN), named(stopped) + "; watch it end:", f"dg logs {stopped.id} -f"
        )
    else:
        output.line(("cancelled", Meaning.WARN), named(stopped))


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  dg rollback web --env production --reason "checkout answers 500" --wait
  dg rollback web --env production --plan
  dg rollback web --env production --to 019acd5e-7c00-7000-8000-000000000000
  dg rollback web --env production --override 'the freeze is about this bug'""",
)
@click.argument("service")
@click.option(
    "--env", "environment", type=ENVIRONMENT, required=True, help="Where: development, staging or production."
)
@click.option(
    "--to", "target", metavar="ID", help="The deployment to go back to; the newest good one when left out."
)
@click.option("--reason", help="Why; kept in the history.")
@click.option("--override", metavar="REASON", help="Pass a manual lock or a freeze, for this reason.")
@click.option("--cross-irreversible", is_flag=True, help="Go back even across a step that cannot be undone.")
@click.option(
    "--plan", is_flag=True, help="Only show what it would do; exit with 3 when it would be refused."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@WAIT
@pass_invocation
def rollback(
    invocation: Invocation,
    service: str,
    environment: Environment,
    target: str | None,
    reason: str | None,
    override: str | None,
    cross_irreversible: bool,
    plan: bool,
    yes: bool,
    wait: bool,
) -> int:
    """Bring back what ran before in a lane of SERVICE. For production it asks first."""
    from dg.cli.remote import request, server
    from dg.core.deployments.models import RequestRollback

    with server(invocation) as dg:
        asked = request(
            RequestRollback,
            target=find_id(dg, target) if target else None,
            reason=reason,
            override=override,
            cross_irreversible=cross_irreversible,
        )
        if plan:
            return _show_plan(
                dg.run(dg.client.lanes.preview_rollback(service, environment, asked)), invocation
            )
        if environment.value == "production" and not yes and person_is_there():
            asked = _confirm(dg, service, environment, asked, invocation.output.to(sys.stderr))
        made = dg.run(dg.client.lanes.rollback(service, environment, asked))
        return carry_out(dg, made, invocation.output, wait)


def _show_plan(found: RollbackPreview, invocation: Invocation) -> int:
    from dg.cli.previews import print_rollback
    from dg.cli.remote import record

    if invocation.json:
        record(invocation.output, found)
    else:
        print_rollback(found, invocation.output)
    return ExitCode.REFUSED if found.verdict.value == "refused" else ExitCode.OK


def person_is_there() -> bool:
    """Whether somebody can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _confirm(
    dg: Blocking, service: str, environment: Environment, asked: RequestRollback, output: Output
) -> RequestRollback:
    """Show what is at stake and ask; gives the request for just what was shown. Raises Refused for a no."""
    from dg.cli.previews import print_rollback
    from dg.core.errors import Refused

    found = dg.run(dg.client.lanes.preview_rollback(service, environment, asked))
    if found.objections:
        raise Refused(found.sentence, reason=found.objections[0].reason)
    print_rollback(found, output)
    if not click.confirm("Roll back?", err=True):
        raise Refused("nothing was rolled back", reason="declined")
    return asked.model_copy(update={"target": found.target.id}) if found.target else asked


def find(dg: Blocking, named: str) -> Deployment:
    """The deployment that is named, as `find_id` does."""
    return dg.run(dg.client.deployments.get(find_id(dg, named)))


def find_id(dg: Blocking, named: str) -> str:
    """The whole id of a deployment named by it, by its beginning, by its number, or as the `latest`.

    Raises NotFound, and Invalid for what names none or several.
    """
    return dg.run(dg.client.deployments.named(named))
