"""What the environments screen does with probes: set, take away, let rest, try, and beat."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dg.core.clock import to_datetime
from dg.tui.actions import Act, Field, Look, Shown, Values, line
from dg.tui.environments import seen
from dg.tui.environments.commands import probe_change
from dg.tui.environments.drawing import document, health
from dg.tui.environments.drawing.probes import remark
from dg.tui.environments.editing import parsed, wished
from dg.tui.fields import option
from dg.tui.frame.sheet import facts
from dg.tui.ink import Pieces
from dg.tui.signs import ink, said

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.environments.models import EnvironmentState
    from dg.core.health.models import ProbeTest, Reading

KINDS = "http, tcp, dns, command, postgresql, redis, heartbeat"
OWN = ("kind", "service")
"""Keys of a probe that have a field of their own."""


def set_probe(state: EnvironmentState, name: str = "") -> Act:
    """A probe as it is typed: a new one, or another form of one that there is."""
    known = state.probes.get(name, {})

    async def look(dg: Client, values: Values) -> Look:
        return await _look(dg, state, values["name"], definition(values), values)

    async def send(dg: Client, values: Values, _: str) -> Any:
        return await _set(dg, state, values["name"], definition(values), values)

    def command(values: Values) -> str:
        from dg.core.errors import Invalid

        try:
            wanted = definition(values)
        except Invalid:
            # It is half typed: what will come of it is said when the server is asked.
            wanted = {key: values[key] for key in OWN}
        return probe_change(state, values["name"] or "NAME", wanted, option(values, "reason"))

    return Act(
        title=f"{'change' if name else 'add'} a probe of {state.name.value}",
        right="environment:update",
        environment=state.name.value,
        service="",
        look=look,
        send=send,
        command=command,
        done=f"{state.name.value} has the probe",
        fields=(
            Field("name", "what it is called", name, required=True),
            Field("kind", KINDS, str(known.get("kind", "")), required=True),
            Field("service", "whose health it is", str(known.get("service", "")), required=True),
            Field("settings", "url=https://… interval=30s timeout=5s", _pairs(known)),
            seen.REASON,
        ),
        first="settings" if name else "name",
        stamp=seen.stamp(state),
        later=True,
    )


def _pairs(known: Mapping[str, Any]) -> str:
    """A definition's other keys as words of a shell."""
    return shlex.join(f"{key}={document.text(value)}" for key, value in known.items() if key not in OWN)


def definition(values: Values) -> dict[str, Any]:
    """What was typed of a probe, as the environment's document has it. Raises Invalid."""
    from dg.core.errors import Invalid

    try:
        words = shlex.split(values["settings"])
    except ValueError as error:
        raise Invalid(f"settings: {error}: quote it as in a shell", field="settings") from None
    found: dict[str, Any] = {key: values[key] for key in OWN}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise Invalid("settings: write each as KEY=VALUE, with a space between two", field="settings")
        found[key] = parsed(value)
    return found


async def _look(
    dg: Client, state: EnvironmentState, name: str, wanted: Mapping[str, Any] | None, values: Values
) -> Look:
    """How the probe's keys change; the server says what is wrong with them."""
    wish = wished(state, f"probes.{name}", "" if wanted is None else json.dumps(wanted), seen.reason(values))
    after = await dg.environments.preview(state.name, wish, expected=state.version)
    rows = document.compared(_texts(state.probes.get(name, {})), _texts(wanted or {}))
    nothing: list[Pieces] = [[("nothing changes", "muted")]]
    told: Pieces = [(name, "fg bold"), (" is taken away" if wanted is None else "", "warn")]
    return Look([seen.place(state), told, *(rows or nothing)], seen.typed(state), ready=bool(after.changes))


def _texts(found: Mapping[str, Any]) -> dict[str, str]:
    return {key: document.text(value) for key, value in found.items()}


async def _set(
    dg: Client, state: EnvironmentState, name: str, wanted: dict[str, Any] | None, values: Values
) -> EnvironmentState:
    return await dg.health.set_probe(
        state.name, name, wanted, reason=seen.reason(values), expected=state.version
    )


def remove(state: EnvironmentState, reading: Reading) -> Act:
    """A probe taken away; a version before has it still."""

    async def look(dg: Client, values: Values) -> Look:
        return await _look(dg, state, reading.name, None, values)

    async def send(dg: Client, values: Values, _: str) -> Any:
        return await _set(dg, state, reading.name, None, values)

    return Act(
        title=f"remove {reading.name} from {state.name.value}",
        right="environment:update",
        environment=state.name.value,
        service="",
        look=look,
        send=send,
        command=lambda values: probe_change(state, reading.name, {}, option(values, "reason")),
        done=f"{reading.name} is removed from {state.name.value}",
        fields=(seen.REASON,),
        stamp=seen.stamp(state),
    )


# Rest


def rests(state: EnvironmentState, name: str, now: int) -> bool:
    """Whether a window of maintenance that a probe has covers this moment."""
    return any(_covers(window, now) for window in state.probes.get(name, {}).get("maintenance", ()))


def rest(state: EnvironmentState, reading: Reading, now: int) -> Act:
    """Let a probe rest from now on, as a window of maintenance."""

    def wanted(values: Values) -> dict[str, Any]:
        known = state.probes.get(reading.name, {})
        window = {"at": _minute(now), "for": values["lasting"] or "1h", "tz": "UTC"}
        window |= {"reason": values["reason"]} if values["reason"] else {}
        return {**known, "maintenance": [*known.get("maintenance", ()), window]}

    async def look(dg: Client, values: Values) -> Look:
        found = await _look(dg, state, reading.name, wanted(values), values)
        again = "it asks nothing until then; a window comes back each year, until P takes it away"
        return Look([*found.rows, [(again, "muted")]], found.typed, found.ready)

    async def send(dg: Client, values: Values, _: str) -> Any:
        return await _set(dg, state, reading.name, wanted(values), values)

    return Act(
        title=f"let {reading.name} of {state.name.value} rest",
        right="environment:update",
        environment=state.name.value,
        service="",
        look=look,
        send=send,
        command=lambda values: probe_change(state, reading.name, wanted(values), option(values, "reason")),
        done=f"{reading.name} rests",
        fields=(Field("lasting", "for how long: 30m, 2h", "1h", required=True), seen.REASON),
        first="lasting",
        stamp=seen.stamp(state),
        later=True,
    )


def _minute(now: int) -> str:
    """This minute of this day, as a schedule."""
    at = to_datetime(now)
    return f"{at.minute} {at.hour} {at.day} {at.month} *"


def wake(state: EnvironmentState, reading: Reading, now: int) -> Act:
    """End the maintenance that a probe is in, by taking the windows away that it is in now."""

    def wanted() -> dict[str, Any]:
        known = dict(state.probes.get(reading.name, {}))
        kept = [window for window in known.pop("maintenance", ()) if not _covers(window, now)]
        return {**known, "maintenance": kept} if kept else known

    async def look(dg: Client, values: Values) -> Look:
        return await _look(dg, state, reading.name, wanted(), values)

    async def send(dg: Client, values: Values, _: str) -> Any:
        return await _set(dg, state, reading.name, wanted(), values)

    return Act(
        title=f"end the rest of {reading.name} in {state.name.value}",
        right="environment:update",
        environment=state.name.value,
        service="",
        look=look,
        send=send,
        command=lambda values: probe_change(state, reading.name, wanted(), option(values, "reason")),
        done=f"{reading.name} looks again",
        fields=(seen.REASON,),
        stamp=seen.stamp(state),
    )


def _covers(window: object, now: int) -> bool:
    from pydantic import ValidationError

    from dg.core.health.probes import Maintenance

    try:
        return Maintenance.model_validate(window).covers(now)
    except ValidationError:
        # No server takes such a window, so nothing rests because of it.
        return False


# Tries and beats


def try_probe(state: EnvironmentState, reading: Reading) -> Act:
    """A probe asked once; nothing of its answer is kept."""

    async def look(_: Client, __: Values) -> Look:
        status = health.word(reading.status)
        told: Pieces = [(said(status), ink(status)), (f"  {remark(reading)}", "muted")]
        return Look([seen.place(state)[:1], told])

    async def send(dg: Client, _: Values, __: str) -> Any:
        return await dg.health.test(state.name, reading.name)

    return Act(
        title=f"try {reading.name} of {state.name.value}",
        right="probe:test",
        environment=state.name.value,
        service=reading.service,
        look=look,
        send=send,
        command=lambda _: line("probe", "test", state.name.value, reading.name),
        done=f"{reading.name} was tried",
        show=lambda found: Shown(f"try {reading.name}", _tried(found)),
    )


def _tried(found: ProbeTest) -> list[Pieces]:
    status = health.word(found.status)
    told = [(name, document.text(value)) for name, value in found.facts.items()]
    rows = facts([("took", health.took(found.response_time)), *told])
    return [[(said(status), f"{ink(status)} bold"), (f"  {found.message or ''}", "fg")], *rows]


def beat(state: EnvironmentState, reading: Reading) -> Act:
    """A beat by hand, in place of the job that is watched; or what is wrong with it."""

    async def look(_: Client, values: Values) -> Look:
        wrong = values["failed"]
        told: Pieces = [(f"{reading.name} fails: {wrong}" if wrong else f"{reading.name} is alive", "fg")]
        return Look([seen.place(state)[:1], told], seen.typed(state))

    async def send(dg: Client, values: Values, _: str) -> Any:
        wrong = values["failed"]
        return await dg.health.beat(state.name, reading.name, ok=not wrong, message=wrong or None)

    return Act(
        title=f"send a beat to {reading.name} of {state.name.value}",
        right="probe:beat",
        environment=state.name.value,
        service=reading.service,
        look=look,
        send=send,
        command=lambda values: line(
            "probe", "beat", state.name.value, reading.name, *option(values, "failed")
        ),
        done=f"{reading.name} was sent a beat",
        fields=(Field("failed", "what is wrong, if something is"),),
        later=True,
    )
