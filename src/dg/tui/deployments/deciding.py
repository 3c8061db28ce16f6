"""What is decided about one deployment: agreed to, refused, let past its gates, stopped, taken up again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dg.tui.actions import Act, Field, Look, Values, line
from dg.tui.fields import REASON, option, typed_in
from dg.tui.ink import Pieces
from dg.tui.signs import sign
from dg.tui.store import Store
from dg.tui.views import DeploymentView

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.deployments.models import Gate


def approve(found: DeploymentView, note: str = "") -> Act:
    """Agree to what was seen: the version is what is approved, and its content what counts."""
    from dg.core.deployments.models import Approve

    async def send(dg: Client, values: Values, key: str) -> Any:
        said = Approve(content=found.content or None, note=values.get("note") or None)
        return await dg.deployments.approve(found.id, said, key=key)

    bound: Pieces = [
        ("bound to the content ", "muted"),
        (found.content[:12], "fg"),
        (f" of {found.sha[:12]}", "muted"),
    ]
    typed = found.version if found.in_production else ""
    fields = (Field("note", "a word for the record", note),) if note else ()
    return _on(found, "approve", send, typed=typed, fields=fields, extra=(bound,))


def reject(found: DeploymentView, reason: str = "") -> Act:
    """Say no; the deployment ends."""

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.deployments.reject(found.id, values["reason"], key=key)

    return _on(found, "reject", send, fields=(Field("reason", "why", reason, required=True),))


def cancel(found: DeploymentView, reason: str = "") -> Act:
    """Stop it."""

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.deployments.cancel(found.id, reason=values.get("reason") or None, key=key)

    typed = typed_in(found.environment)
    return _on(found, "cancel", send, typed=typed, fields=(Field("reason", "why, for the record", reason),))


def retry(found: DeploymentView, *, step: str = "", note: str = "") -> Act:
    """Take a failed one up again, from `step` or the first one that did not succeed.

    A step that had begun and asks before it is run again is named first; a second yes agrees to that.
    """
    from dg.core.deployments.models import RequestRetry
    from dg.core.errors import Refused

    agreed: list[bool] = [False]

    async def send(dg: Client, values: Values, key: str) -> Any:
        asked = RequestRetry(
            from_step=values.get("from") or None, note=values.get("note") or None, confirm=agreed[0]
        )
        try:
            return await dg.deployments.retry(found.id, asked, key=f"{key}-agreed" if agreed[0] else key)
        except Refused as refused:
            if agreed[0] or refused.reason != "confirm":
                raise
            agreed[0] = True
            raise Refused(f"{refused.message}: the same answer again agrees", reason="confirm") from None

    fields = (Field("from", "the step to begin with", step), Field("note", "a word for the history", note))
    said = tuple(each for each in fields if each.value)
    act = _on(found, "retry", send, typed=typed_in(found.environment), fields=said)

    def command(values: Values) -> str:
        return f"{act.command(values)}{' --confirm' if agreed[0] else ''}"

    return replace(act, command=command)


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


def _of(found: DeploymentView) -> list[Pieces]:
    return [
        [(found.name, "prod bold" if found.in_production else "fg bold")],
        [(f"{sign(found.state)} {found.state.replace('_', ' ')}  ", "fg"), (found.words, "muted")],
    ]


def _on(
    found: DeploymentView,
    verb: str,
    send: Callable[[Client, Values, str], Awaitable[Any]],
    *,
    typed: str = "",
    fields: tuple[Field, ...] = (),
    extra: tuple[Pieces, ...] = (),
) -> Act:
    """An act on one deployment, which must stay as it was seen. Fields are called as its flags."""

    async def look(_: Client, __: Values) -> Look:
        return Look([*_of(found), *extra], typed)

    def command(values: Values) -> str:
        flags = (option(values, each.name, f"--{each.name}") for each in fields)
        return line(verb, found.id, *(word for given in flags for word in given))

    return Act(
        title=f"{verb} #{found.number} in {found.environment}",
        right=f"deployment:{verb}",
        environment=found.environment,
        service=found.service,
        look=look,
        send=send,
        command=command,
        done=f"{verb}: {found.name}",
        fields=fields,
        stamp=_stamp(found),
    )


def _stamp(found: DeploymentView) -> Callable[[Store, Values], object]:
    """What must not move between the look and the yes."""

    def stamp(store: Store, _: Values) -> object:
        now = store.deployments.get(found.id, found)
        return now.status, now.content, now.cancelling

    return stamp
