"""What people do about deployments that gates hold or that do not stop, and versions that went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dg.tui.actions import Act, Field, Look, Values, line
from dg.tui.ink import Pieces
from dg.tui.signs import sign
from dg.tui.store import Store
from dg.tui.views import PRODUCTION, DeploymentView

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.deployments.models import Block, Gate

REASON = Field("reason", "why, for the record", required=True)


def typed_in(environment: str) -> str:
    """What has to be typed to change something there."""
    return environment if environment == PRODUCTION else ""


def override(found: DeploymentView) -> Act:
    """Pass gates that are closed, all or none; in production the version is typed: that is what passes."""
    closed: list[str] = []

    def chosen(values: Values) -> list[str]:
        named = [name.strip() for name in values["gates"].split(";")]
        return [name for name in named if name] or closed

    async def look(dg: Client, values: Values) -> Look:
        gates = (await dg.deployments.get(found.id)).gates or ()
        closed[:] = [each.name for each in gates if not each.open]
        passed = chosen(values)
        typed = found.version if found.in_production else ""
        rows = [_gate(each, passes=each.name in passed) for each in gates]
        return Look([_head(found), *rows], typed, ready=bool(closed))

    async def send(dg: Client, values: Values, key: str) -> Any:
        from dg.core.deployments.models import Override

        wish = Override(gates=tuple(chosen(values)), reason=values["reason"])
        return await dg.deployments.override(found.id, wish, key=key)

    def command(values: Values) -> str:
        gates = [word for name in chosen(values) or ["GATE"] for word in ("--gate", name)]
        return line("override", found.id, *gates, "--reason", values["reason"] or "WHY")

    return Act(
        title=f"pass the gates of #{found.number} in {found.environment}",
        right="deployment:override",
        environment=found.environment,
        service=found.service,
        look=look,
        send=send,
        command=command,
        done=f"the gates are passed: {found.name}",
        fields=(REASON, Field("gates", "some of them, with ; between; empty for all that are closed")),
        stamp=_stamp(found),
        first="reason",
        later=True,
    )


def _gate(gate: Gate, *, passes: bool) -> Pieces:
    state = "open" if gate.open else "closed"
    return [
        (f"{sign(state)} {gate.name}: ", "muted" if gate.open else "warn bold"),
        (gate.sentence, "fg"),
        ("  is passed" if passes else "", "warn"),
    ]


def abandon(found: DeploymentView) -> Act:
    """Give up on one that was asked to stop and does not; its lane stays closed."""

    async def look(_: Client, __: Values) -> Look:
        rest = "its lane stays locked, and what it began may still run"
        return Look([_head(found), [(f"▲ {rest}", "warn")]], typed_in(found.environment))

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.deployments.abandon(found.id, values["reason"], key=key)

    return Act(
        title=f"abandon #{found.number} in {found.environment}",
        right="deployment:abandon",
        environment=found.environment,
        service=found.service,
        look=look,
        send=send,
        command=lambda values: line("abandon", found.id, "--reason", values["reason"] or "WHY"),
        done=f"abandoned: {found.name}",
        fields=(REASON,),
        stamp=_stamp(found),
    )


def _head(found: DeploymentView) -> Pieces:
    return [(found.name, "prod bold" if found.in_production else "fg bold"), (f"  {found.words}", "muted")]


def _stamp(found: DeploymentView) -> Any:
    def stamp(store: Store, _: Values) -> object:
        now = store.deployments.get(found.id, found)
        return now.status, now.content, now.cancelling

    return stamp


# Versions that may not come


def block(service: str, environment: str, version: str = "") -> Act:
    """Keep a version out of a lane."""
    from dg.core.types import Environment

    async def look(_: Client, values: Values) -> Look:
        what = values["version"] or "the version"
        said = "is not deployed there before somebody lets it back; what runs stays"
        return Look([[(f"{what} ", "fg bold"), (said, "muted")]], typed_in(environment))

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.lanes.block(
            service, Environment(environment), values["version"], reason=values["reason"], key=key
        )

    return Act(
        title=f"block a version in {service}/{environment}",
        right="lane:block",
        environment=environment,
        service=service,
        look=look,
        send=send,
        command=lambda values: line(
            *("lane", "block", service, environment, values["version"] or "VERSION"),
            *("--reason", values["reason"] or "WHY"),
        ),
        done=f"blocked in {service}/{environment}",
        fields=(Field("version", "deployed, or a branch, tag or commit", version, required=True), REASON),
        first="reason" if version else "",
        later=True,
    )


def unblock(found: Block) -> Act:
    """Let a version back into its lane."""
    environment = found.environment.value

    async def look(_: Client, __: Values) -> Look:
        what: Pieces = [(found.version, "fg bold"), (f"  {found.commit_sha[:12]}", "muted")]
        return Look([what, [("blocked: ", "muted"), (found.reason, "fg")]], typed_in(environment))

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.lanes.unblock(
            found.service, found.environment, found.commit_sha, reason=values["reason"], key=key
        )

    return Act(
        title=f"let a version back into {found.service}/{environment}",
        right="lane:unblock",
        environment=environment,
        service=found.service,
        look=look,
        send=send,
        command=lambda values: line(
            *("lane", "unblock", found.service, environment, found.commit_sha),
            *("--reason", values["reason"] or "WHY"),
        ),
        done=f"{found.version} may come to {found.service}/{environment} again",
        fields=(REASON,),
    )
