"""What brings a version to a lane: a deployment, and a rollback; each shows the server's preview first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dg.client.words import duration
from dg.core.text import counted
from dg.tui.actions import Act, Field, Look, Values, line
from dg.tui.fields import environment_from, option, typed_in
from dg.tui.ink import Pieces
from dg.tui.signs import sign
from dg.tui.store import Store
from dg.tui.views import PRODUCTION

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.deployments.previews import Preview, RollbackPreview

_SHOWN = 8
"""Commits that a preview shows."""


def deploy(service: str, environment: str, ref: str = "", *, version: str = "", note: str = "") -> Act:
    """A deployment of what is typed; the preview says what would come of it.

    What it is called is asked for only where that was said before.
    """
    from dg.core.deployments.models import CreateDeployment

    def request(values: Values) -> CreateDeployment:
        return CreateDeployment(
            environment=environment_from(values["environment"]),
            service=values["service"],
            ref=values["ref"],
            version=values.get("version") or None,
            note=values["note"] or None,
        )

    async def look(dg: Client, values: Values) -> Look:
        found = await dg.deployments.preview(request(values))
        refused = found.verdict.value == "refused"
        return Look(_previewed(found), typed_in(found.environment.value), ready=not refused)

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.deployments.create(request(values), key=key)

    def command(values: Values) -> str:
        what = values["service"] or "SERVICE", values["ref"] or "REF"
        flags = *option(values, "version", "--version"), *option(values, "note", "--note")
        return line("deploy", *what, "--env", values["environment"], *flags)

    def stamp(store: Store, values: Values) -> object:
        lane = store.lanes.get((values["service"], values["environment"]))
        return lane and (lane.state, lane.current)

    return Act(
        title="deploy",
        right="deployment:create",
        environment=environment,
        service=service,
        look=look,
        send=send,
        command=command,
        done="asked for the deployment",
        fields=(
            Field("service", "which one", service, required=True),
            Field("environment", "development, staging or production", environment, required=True),
            Field("ref", "a branch, tag or commit", ref, required=True),
            *((Field("version", "what it is called", version),) if version else ()),
            Field("note", "a word for the history", note),
        ),
        stamp=stamp,
        later=True,
    )


def _previewed(found: Preview) -> list[Pieces]:
    verdict = {"starts": ("✓", "ok"), "waits": ("◇", "warn"), "refused": ("✗", "err")}[found.verdict.value]
    rows: list[Pieces] = [
        [
            (f"{found.environment.value}  ", "prod bold" if found.environment == PRODUCTION else "fg bold"),
            (found.current_version or "nothing", "fg"),
            ("  →  ", "muted"),
            (found.version, "fg bold"),
            (f"  {found.commit_sha[:7]}", "muted"),
        ],
        [(f"{verdict[0]} {found.sentence}", verdict[1])],
        *[[(f"✗ {each.sentence}", "err")] for each in found.objections[1:]],
        *[
            [(f"{sign('open' if each.open else 'closed')} {each.name}: ", "muted"), (each.sentence, "fg")]
            for each in found.gates
        ],
        *[[("▲ cannot be undone: ", "warn"), (each, "fg")] for each in found.irreversible],
    ]
    if found.expected is not None:
        rows.append([("takes about ", "muted"), (duration(found.expected), "fg")])
    if found.files is not None:
        rows.append(
            [
                (f"{counted(found.files.total, 'file')}  ", "muted"),
                (f"+{found.files.added} ", "ok"),
                (f"-{found.files.removed}", "err"),
            ]
        )
    return [*rows, *_commits("+", "ok", found.changes.commits, found.changes.total)]


def _commits(mark: str, ink: str, found: Any, total: int) -> list[Pieces]:
    """The first of some commits, and how many more there are."""
    rows: list[Pieces] = [
        [
            (f"{mark} ", ink),
            (f"{each.sha[:7]} ", "muted"),
            (each.subject, "fg"),
            (f"  {each.author}", "muted"),
        ]
        for each in found[:_SHOWN]
    ]
    return [*rows, [(f"and {total - _SHOWN} more", "dim")]] if total > _SHOWN else rows


def roll_back(service: str, environment: str, *, target: str = "", reason: str = "") -> Act:
    """The lane back to the deployment with the id `target`, without one to its newest good one."""
    from dg.core.deployments.models import RequestRollback
    from dg.core.types import Environment

    crossing: list[bool] = [False]

    def request(values: Values) -> RequestRollback:
        reason = values.get("reason") or None
        return RequestRollback(target=target or None, reason=reason, cross_irreversible=crossing[0])

    async def look(dg: Client, values: Values) -> Look:
        found = await dg.lanes.preview_rollback(service, Environment(environment), request(values))
        if found.crosses and not crossing[0]:
            # Whoever confirms has read which steps cannot be undone: ask again with that agreed to.
            crossing[0] = True
            found = await dg.lanes.preview_rollback(service, Environment(environment), request(values))
        return Look(_rolled_back(found), typed_in(environment), ready=found.verdict.value != "refused")

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.lanes.rollback(service, Environment(environment), request(values), key=key)

    def stamp(store: Store, _: Values) -> object:
        lane = store.lanes.get((service, environment))
        return lane and (lane.state, lane.current, lane.holder)

    def command(values: Values) -> str:
        to = ("--to", target) if target else ()
        return line("rollback", service, "--env", environment, *to, *option(values, "reason", "--reason"))

    return Act(
        title=f"roll back {service} in {environment}",
        right="deployment:rollback",
        environment=environment,
        service=service,
        look=look,
        send=send,
        command=command,
        done=f"rolling back {service} in {environment}",
        fields=(Field("reason", "why, for the record", reason),),
        stamp=stamp,
    )


def _rolled_back(found: RollbackPreview) -> list[Pieces]:
    verdict = {"safe": ("✓", "ok"), "asks": ("▲", "warn"), "refused": ("✗", "err")}[found.verdict.value]
    source = found.undoes.version if found.undoes else "not known"
    target = found.target.version if found.target else "nothing"
    rows: list[Pieces] = [
        [
            (f"{found.environment.value}  ", "prod bold" if found.environment == PRODUCTION else "fg bold"),
            (source, "fg bold"),
            ("  →  ", "muted"),
            (target, "fg bold"),
        ],
        [(f"{verdict[0]} {found.sentence}", verdict[1])],
        *[[(f"✗ {each.sentence}", "err")] for each in found.objections if each.sentence != found.sentence],
        *[[(f"▲ {each.sentence}", "warn")] for each in found.doubts if each.sentence != found.sentence],
        *[[("▲ cannot be undone: ", "warn"), (each, "fg")] for each in found.crosses],
        *[[("▪ ", "muted"), (each.sentence, "fg")] for each in found.afterwards],
    ]
    if found.expected is not None:
        rows.append([("takes about ", "muted"), (duration(found.expected), "fg")])
    if found.changes is not None:
        rows += _commits("-", "err", found.changes.leaving, found.changes.leaving_total)
        rows += _commits("+", "ok", found.changes.commits, found.changes.total)
    return rows
