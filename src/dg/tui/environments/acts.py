"""What the environments screen changes: configuration, secrets, versions, drift, backups; tries of probes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dg.client.words import age
from dg.core.clock import SECOND
from dg.tui.actions import Act, Field, Look, Values, line
from dg.tui.environments.contents import Entry, differences
from dg.tui.environments.drawing import word
from dg.tui.environments.probes import remark
from dg.tui.ink import Pieces
from dg.tui.signs import ink, said
from dg.tui.store import Store
from dg.tui.views import PRODUCTION

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.backup.models import BackupRecord
    from dg.core.drift.models import ServiceDrift
    from dg.core.environments.models import EnvironmentState, UpdateEnvironment, Version
    from dg.core.health.models import Reading

REASON = Field("reason", "why, for the history")
PARTS = ("config", "targets", "protection", "links", "runs", "probes")
"""What of an environment has keys."""


def _typed(state: EnvironmentState) -> str:
    return state.name.value if state.name.value == PRODUCTION else ""


def _reason(values: Values) -> str | None:
    return values.get("reason") or None


def _given(values: Values, flag: str = "--reason", name: str = "reason") -> tuple[str, ...]:
    return (flag, values[name]) if values.get(name) else ()


def _stamp(state: EnvironmentState) -> Any:
    """The newest change of it that has been heard of: when that moves, somebody else was faster."""
    return lambda store, _: _last_change(store, state.name.value)


def _last_change(store: Store, environment: str) -> int:
    changes = (fact for fact in store.activity if fact.type == "environment.updated")
    return max((fact.seq for fact in changes if fact.environment == environment), default=0)


def _place(state: EnvironmentState) -> Pieces:
    name = state.name.value
    return [
        (name, "prod bold" if name == PRODUCTION else "fg bold"),
        (f"  version {state.version} is what you saw; a newer one is not overwritten", "muted"),
    ]


# Configuration


def edit(state: EnvironmentState, entry: Entry | None = None) -> Act:
    """One key set, or taken away; what would change is shown before."""

    async def look(dg: Client, values: Values) -> Look:
        wish = wished(state, values["key"], values["value"], _reason(values))
        after = await dg.environments.preview(state.name, wish, expected=state.version)
        changes = after.changes or ()
        return Look([_place(state), *differences(changes)], _typed(state), ready=bool(changes))

    async def send(dg: Client, values: Values, key: str) -> Any:
        wish = wished(state, values["key"], values["value"], _reason(values))
        return await dg.environments.update(state.name, wish, expected=state.version, key=key)

    return Act(
        title=f"configure {state.name.value}",
        right="environment:update",
        environment=state.name.value,
        service="",
        look=look,
        send=send,
        command=lambda values: _edit_command(state.name.value, values),
        done=f"{state.name.value} is changed",
        fields=(
            Field("key", "domain, config.NAME, links.NAME …", entry.key if entry else "", required=True),
            Field("value", "JSON or text; empty takes the key away", entry.text if entry else ""),
            REASON,
        ),
        first="value" if entry else "",
        stamp=_stamp(state),
        later=True,
    )


def _edit_command(name: str, values: Values) -> str:
    key, value = values["key"], values["value"]
    part, _, rest = key.partition(".")
    if key == "domain":
        return line("env", "set", name, "--domain", value, *_given(values))
    if part != "config":
        return line("env", "edit", name, *_given(values))
    change = (f"{rest}={value}",) if value else ("--unset", rest)
    return line("env", "set", name, *change, *_given(values))


def wished(state: EnvironmentState, key: str, value: str, reason: str | None) -> UpdateEnvironment:
    """The environment with one key changed; secrets are left out, so they stay. Raises Invalid."""
    from pydantic import ValidationError

    from dg.core.environments.models import API_KEYS, URLS, UpdateEnvironment
    from dg.core.errors import Invalid

    whole = state.model_dump(mode="json", exclude_none=True, include={"domain", *PARTS})
    whole["config"] = {name: each for name, each in state.config.items() if name not in (*URLS, API_KEYS)}
    part, _, name = key.partition(".")
    if key == "domain":
        whole["domain"] = value
    elif part == "secrets" or (part == "config" and name.partition(".")[0] in (*URLS, API_KEYS)):
        raise Invalid(f"{key} is a secret: it is set where nobody sees what is typed", field="key")
    elif part not in PARTS or not name:
        raise Invalid(f"key: write domain, or {', '.join(f'{each}.NAME' for each in PARTS)}", field="key")
    elif value:
        whole[part][name] = parsed(value)
    elif whole[part].pop(name, None) is None:
        raise Invalid(f"there is no {key} to take away: give it a value", field="value")
    try:
        return UpdateEnvironment.model_validate({**whole, "reason": reason})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Invalid(f"{where}: {first['msg']}", field=where) from None


def parsed(value: str) -> Any:
    """What was typed: JSON where it is that, else text."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def set_secret(state: EnvironmentState, name: str = "") -> Act:
    """A secret that is typed unseen and cannot be read back; one that was sealed is sealed here again."""

    def grade(values: Values) -> str:
        known = state.secrets.get(values["name"])
        return known.grade if known else "at_rest"

    async def look(_: Client, values: Values) -> Look:
        known = state.secrets.get(values["name"])
        now = f"replaces version {known.version}" if known else "is set for the first time"
        rows: list[Pieces] = [
            _place(state),
            [(values["name"] or "the secret", "fg bold"), (f" {now}", "muted")],
        ]
        if grade(values) == "runner_only":
            only = "only the runner opens it: a ciphertext of your own tool is set with dg secret set"
            return Look([*rows, [(only, "err")]], ready=False)
        return Look([*rows, [("nobody can read it back, here or elsewhere", "muted")]], _typed(state))

    async def send(dg: Client, values: Values, _: str) -> Any:
        hand_in = dg.environments.seal_secret if grade(values) == "sealed" else dg.environments.set_secret
        return await hand_in(
            state.name, values["name"], values["value"], reason=_reason(values), expected=state.version
        )

    def command(values: Values) -> str:
        how = {"sealed": ("--sealed",), "runner_only": ("--runner-only",)}.get(grade(values), ())
        return line("secret", "set", state.name.value, values["name"] or "NAME", *how, *_given(values))

    return Act(
        title=f"set a secret of {state.name.value}",
        right="secret:update",
        environment=state.name.value,
        service="",
        look=look,
        send=send,
        command=command,
        done=f"{state.name.value} has the secret",
        fields=(
            Field("name", "database_url, api_key_mail, any_name", name, required=True),
            Field("value", "typed unseen", required=True, secret=True),
            REASON,
        ),
        stamp=_stamp(state),
        later=True,
    )


def unset_secret(state: EnvironmentState, name: str) -> Act:
    """A secret taken away."""

    async def look(_: Client, __: Values) -> Look:
        return Look([_place(state), [(name, "fg bold"), (" is taken away", "warn")]], _typed(state))

    async def send(dg: Client, values: Values, _: str) -> Any:
        return await dg.environments.set_secret(
            state.name, name, None, reason=_reason(values), expected=state.version
        )

    return Act(
        title=f"unset a secret of {state.name.value}",
        right="secret:update",
        environment=state.name.value,
        service="",
        look=look,
        send=send,
        command=lambda values: line("secret", "unset", state.name.value, name, *_given(values)),
        done=f"{name} is taken away",
        fields=(REASON,),
        stamp=_stamp(state),
    )


def restore(state: EnvironmentState, version: Version) -> Act:
    """What an older version held, as a new one."""

    async def look(dg: Client, _: Values) -> Look:
        found = await dg.environments.diff(state.name, since=state.version, until=version.version)
        return Look([_place(state), *differences(found.items)], _typed(state), ready=bool(found.items))

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.environments.restore(
            state.name, version.version, reason=_reason(values), expected=state.version, key=key
        )

    return Act(
        title=f"restore version {version.version} of {state.name.value}",
        right="environment:update",
        environment=state.name.value,
        service="",
        look=look,
        send=send,
        command=lambda values: line(
            "env", "restore", state.name.value, str(version.version), *_given(values)
        ),
        done=f"{state.name.value} is like version {version.version} again",
        fields=(REASON,),
        stamp=_stamp(state),
    )


# Drift


def accept_drift(state: EnvironmentState, drift: ServiceDrift) -> Act:
    """A difference that may be for a while."""

    async def look(_: Client, __: Values) -> Look:
        return Look([_place(state)[:1], [(drift.sentence, "fg")]], _typed(state))

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
            *_given(values, "--for", "lasting"),
        ),
        done=f"the drift of {drift.service} is accepted",
        fields=(
            Field("reason", "why it may be so", required=True),
            Field("lasting", "for how long: 6h, 2d", "1d", required=True),
        ),
    )


# Backups


def back_up(state: EnvironmentState, now: int) -> Act:
    """A backup of the environment, made by the server."""
    from dg.core.clock import to_datetime

    async def look(_: Client, __: Values) -> Look:
        held = f"  version {state.version}, with its secrets and history, encrypted"
        return Look([[*_place(state)[:1], (held, "muted")]])

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
            "backup", "create", "--environment", state.name.value, *_given(values, "--name", "name")
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
        return Look([_place(state), made, *differences(changes)], _typed(state), ready=bool(changes))

    async def send(dg: Client, values: Values, _: str) -> Any:
        return await dg.backups.restore(state.name, backup.id, reason=_reason(values), expected=state.version)

    return Act(
        title=f"restore {state.name.value} from {backup.id}",
        right="backup:restore",
        environment=state.name.value,
        service="",
        look=look,
        send=send,
        command=lambda values: line(
            "backup", "restore", backup.id, "--environment", state.name.value, *_given(values)
        ),
        done=f"{state.name.value} is as in {backup.id}",
        fields=(REASON,),
        stamp=_stamp(state),
    )


# Probes


def try_probe(state: EnvironmentState, reading: Reading) -> Act:
    """A probe asked once; its answer is a ProbeTest, and nothing of it is kept."""

    async def look(_: Client, __: Values) -> Look:
        status = word(reading.status)
        return Look([_place(state)[:1], [(said(status), ink(status)), (f"  {remark(reading)}", "muted")]])

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
    )
