"""What the environments screen does beside the document: drift that may be for a while, and backups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dg.client.words import age
from dg.core.clock import SECOND
from dg.tui.actions import Act, Field, Look, Values, line
from dg.tui.environments import seen
from dg.tui.environments.drawing.document import differences
from dg.tui.fields import option
from dg.tui.ink import Pieces

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.backup.models import BackupRecord
    from dg.core.drift.models import ServiceDrift
    from dg.core.environments.models import EnvironmentState

# Drift


def accept_drift(state: EnvironmentState, drift: ServiceDrift) -> Act:
    """A difference that may be for a while."""

    async def look(_: Client, __: Values) -> Look:
        return Look([seen.place(state)[:1], [(drift.sentence, "fg")]], seen.typed(state))

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.environments.accept_drift(
            state.name, drift.service, reason=values["reason"], lasting=values["lasting"], key=key
        )

    return Act(
        title=f"accept the drift of {drift.service} in {state.name.value}",
        right="drift:accept",
        environment=state.name.value,
        service=drift.service,
        look=look,
        send=send,
        command=lambda values: line(
            *("env", "drift", state.name.value, "--accept", drift.service),
            *("--reason", values["reason"] or "WHY"),
            *option(values, "lasting", "--for"),
        ),
        done=f"the drift of {drift.service} is accepted",
        fields=(
            Field("reason", "why it may be so", required=True),
            Field("lasting", "for how long: 6h, 2d", "1d", required=True),
        ),
    )


def withdraw_drift(state: EnvironmentState, drift: ServiceDrift) -> Act:
    """A difference that may no longer be."""
    accepted = drift.acceptance
    told: Pieces = [("accepted: ", "muted"), (accepted.reason if accepted else "", "fg")]

    async def look(_: Client, __: Values) -> Look:
        return Look([seen.place(state)[:1], [(drift.sentence, "fg")], told], seen.typed(state))

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.environments.withdraw_drift(
            state.name, drift.service, reason=values["reason"], key=key
        )

    return Act(
        title=f"withdraw what was accepted of {drift.service} in {state.name.value}",
        right="drift:accept",
        environment=state.name.value,
        service=drift.service,
        look=look,
        send=send,
        command=lambda values: line(
            *("env", "drift", state.name.value, "--withdraw", drift.service),
            *("--reason", values["reason"] or "WHY"),
        ),
        done=f"the drift of {drift.service} is accepted no longer",
        fields=(Field("reason", "why it may be so no longer", required=True),),
    )


# Backups


def back_up(state: EnvironmentState, now: int) -> Act:
    """A backup of the environment, made by the server."""
    from dg.core.clock import to_datetime

    async def look(_: Client, __: Values) -> Look:
        held = f"  version {state.version}, with its secrets and history, encrypted"
        return Look([[*seen.place(state)[:1], (held, "muted")]])

    async def send(dg: Client, values: Values, _: str) -> Any:
        return await dg.backups.make(state.name, values["name"])

    return Act(
        title=f"back {state.name.value} up",
        right="backup:create",
        environment=state.name.value,
        service="",
        look=look,
        send=send,
        command=lambda values: line(
            "backup", "create", "--environment", state.name.value, *option(values, "name")
        ),
        done=f"{state.name.value} is backed up",
        fields=(Field("name", "what it is called", f"{to_datetime(now):%Y%m%d-%H%M%S}", required=True),),
    )


def restore_backup(state: EnvironmentState, backup: BackupRecord, now: int) -> Act:
    """The environment as it was in a backup, as a new version."""

    async def look(dg: Client, _: Values) -> Look:
        after = await dg.backups.preview(state.name, backup.id, expected=state.version)
        changes = after.changes or ()
        made: Pieces = [("made ", "muted"), (f"{age((now - backup.at) / SECOND)} ago", "fg")]
        return Look([seen.place(state), made, *differences(changes)], seen.typed(state), ready=bool(changes))

    async def send(dg: Client, values: Values, _: str) -> Any:
        return await dg.backups.restore(
            state.name, backup.id, reason=seen.reason(values), expected=state.version
        )

    return Act(
        title=f"restore {state.name.value} from {backup.id}",
        right="backup:restore",
        environment=state.name.value,
        service="",
        look=look,
        send=send,
        command=lambda values: line(
            "backup", "restore", backup.id, "--environment", state.name.value, *option(values, "reason")
        ),
        done=f"{state.name.value} is as in {backup.id}",
        fields=(seen.REASON,),
        stamp=seen.stamp(state),
    )
