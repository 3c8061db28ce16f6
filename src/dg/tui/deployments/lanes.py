"""What closes and opens lanes: locks, freezes, and versions that may not come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from dg.tui.actions import Act, Field, Look, Values, line
from dg.tui.fields import REASON, environment_of, option, typed_in
from dg.tui.ink import Pieces
from dg.tui.store import Store
from dg.tui.views import PRODUCTION, LaneView

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.deployments.models import Block, Freeze

_SHOWN = 8
"""Lanes that the question before a freeze shows."""


def lock(lane: LaneView, *, lasting: str = "1h", reason: str = "") -> Act:
    """Close a lane for a while."""
    from dg.core.types import Environment

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.lanes.lock(
            lane.service,
            Environment(lane.environment),
            reason=values["reason"],
            lasting=values["lasting"],
            key=key,
        )

    return _lane_act(lane, "lock", "lane:lock", send, _while(lasting, reason))


def _while(lasting: str, reason: str) -> tuple[Field, ...]:
    return (
        Field("reason", "why", reason, required=True),
        Field("lasting", "for how long: 30m, 2h", lasting, required=True),
    )


def unlock(lane: LaneView, *, reason: str = "") -> Act:
    """Open a lane that is locked, or lift the freeze that closes it."""
    from dg.core.types import Environment

    async def send(dg: Client, values: Values, key: str) -> Any:
        if lane.freeze:
            return await dg.lanes.thaw(lane.freeze, key=key)
        reason = values.get("reason") or None
        return await dg.lanes.unlock(lane.service, Environment(lane.environment), reason=reason, key=key)

    if lane.freeze:
        return _lane_act(lane, "thaw", "lane:thaw", send, (), typed=typed_in(lane.environment))
    fields = (Field("reason", "why, for the record", reason),)
    return _lane_act(lane, "unlock", "lane:unlock", send, fields, typed=typed_in(lane.environment))


def freeze(environment: str, service: str = "", *, lasting: str = "1h", reason: str = "") -> Act:
    """Close many lanes for a while: of an environment, of a service, of both, or (neither) all there are."""

    async def look(dg: Client, values: Values) -> Look:
        where = values["environment"]
        found = await dg.lanes.list(service=values["service"] or None, environment=environment_of(where))
        rows: list[Pieces] = [
            [
                (f"{each.service}/{each.environment.value}  ", "fg bold"),
                ("is closed", "warn"),
                ("  after what runs there has ended" if each.holder else "", "muted"),
            ]
            for each in found[:_SHOWN]
        ]
        more: list[Pieces] = [[(f"and {len(found) - _SHOWN} more", "dim")]] if len(found) > _SHOWN else []
        none: list[Pieces] = [[("no lane is there yet: those that come are closed", "muted")]]
        return Look([*rows, *more] or none, typed_in(where or PRODUCTION))

    async def send(dg: Client, values: Values, key: str) -> Any:
        where = values["environment"]
        return await dg.lanes.freeze(
            reason=values["reason"],
            lasting=values["lasting"],
            service=values["service"] or None,
            environment=environment_of(where),
            key=key,
        )

    def command(values: Values) -> str:
        lanes = (values["service"],) if values["service"] else () if values["environment"] else ("--all",)
        place, lasting = option(values, "environment", "--env"), option(values, "lasting", "--for")
        return line("freeze", *lanes, *place, *lasting, *option(values, "reason", "--reason"))

    return Act(
        title="freeze",
        right="lane:freeze",
        environment=environment,
        service=service,
        look=look,
        send=send,
        command=command,
        done="frozen",
        fields=(
            *_while(lasting, reason),
            Field("environment", "empty for everywhere", environment),
            Field("service", "empty for all of them", service),
        ),
        first="lasting" if reason else "reason",
        later=True,
    )


def thaw(freeze: str = "") -> Act:
    """End one freeze by its id, or all that one may end."""

    async def look(dg: Client, _: Values) -> Look:
        wanted = [each for each in await dg.lanes.freezes() if not freeze or each.id == freeze]
        rows: list[Pieces] = [
            [(_frozen(each), "fg bold"), (f"  {each.reason}", "muted")] for each in wanted
        ] or [[("nothing is frozen", "muted")]]
        crossed = any(each.environment is None or each.environment.value == PRODUCTION for each in wanted)
        return Look(rows, PRODUCTION if crossed else "", ready=bool(wanted))

    async def send(dg: Client, _: Values, key: str) -> Any:
        return await dg.lanes.thaw(freeze or None, key=key)

    return Act(
        title="thaw" if freeze else "thaw all that you may",
        right="lane:thaw",
        environment="",
        service="",
        look=look,
        send=send,
        command=lambda _: line("thaw", *filter(None, (freeze,))),
        done="thawed",
    )


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


def _frozen(freeze: Freeze) -> str:
    where = freeze.service, freeze.environment and freeze.environment.value
    return "/".join(filter(None, where)) or "everything"


def _lane_act(
    lane: LaneView,
    verb: str,
    right: str,
    send: Callable[[Client, Values, str], Awaitable[Any]],
    fields: tuple[Field, ...],
    *,
    typed: str = "",
) -> Act:
    async def look(_: Client, __: Values) -> Look:
        return Look([[(f"{lane.service}/{lane.environment}  ", "fg bold"), (lane.standing, "muted")]], typed)

    def command(values: Values) -> str:
        if verb == "thaw":
            return line("thaw", lane.freeze)
        lasting = option(values, "lasting", "--for")
        reason = option(values, "reason", "--reason")
        return line("lane", verb, lane.service, lane.environment, *lasting, *reason)

    def stamp(store: Store, _: Values) -> object:
        now = store.lanes.get(lane.key)
        return now and now.state

    return Act(
        title=f"{verb} {lane.service}/{lane.environment}",
        right=right,
        environment=lane.environment,
        service=lane.service,
        look=look,
        send=send,
        command=command,
        done=f"{verb}: {lane.service}/{lane.environment}",
        fields=fields,
        stamp=stamp,
    )
