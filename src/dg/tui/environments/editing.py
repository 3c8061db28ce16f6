"""What the environments screen changes of an environment's document: keys, secrets, versions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dg.tui.actions import Act, Field, Look, Values, line
from dg.tui.environments import seen
from dg.tui.environments.commands import change_of
from dg.tui.environments.drawing import document
from dg.tui.environments.drawing.document import Entry, differences
from dg.tui.fields import option
from dg.tui.ink import Pieces

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.core.environments.models import EnvironmentState, UpdateEnvironment, Version

PARTS = ("config", "targets", "protection", "links", "runs", "probes")
"""What of an environment has keys."""


# Configuration


def edit(state: EnvironmentState, entry: Entry | None = None) -> Act:
    """One key set, or taken away; what would change is shown before."""

    async def look(dg: Client, values: Values) -> Look:
        wish = wished(state, values["key"], values["value"], seen.reason(values))
        after = await dg.environments.preview(state.name, wish, expected=state.version)
        changes = after.changes or ()
        known = {each.key: each.text for each in document.entries(state)}
        key = values["key"]
        told = document.compared({key: known.get(key, "")}, {key: values["value"]}) if changes else []
        others = [each for each in changes if each.key != key]
        rows = [seen.place(state), *told, *(differences(others) if others or not told else [])]
        return Look(rows, seen.typed(state), ready=bool(changes))

    async def send(dg: Client, values: Values, key: str) -> Any:
        wish = wished(state, values["key"], values["value"], seen.reason(values))
        return await dg.environments.update(state.name, wish, expected=state.version, key=key)

    return Act(
        title=f"configure {state.name.value}",
        right="environment:update",
        environment=state.name.value,
        service="",
        look=look,
        send=send,
        command=lambda values: change_of(state, values),
        done=f"{state.name.value} is changed",
        fields=(
            Field("key", "domain, config.NAME, links.NAME …", entry.key if entry else "", required=True),
            Field("value", "JSON or text; empty takes the key away", entry.text if entry else ""),
            seen.REASON,
        ),
        first="value" if entry else "",
        stamp=seen.stamp(state),
        later=True,
    )


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


def unset(state: EnvironmentState, entry: Entry) -> Act:
    """A key taken away: the form as it is for an edit, with nothing in place of the value."""
    return edit(state, Entry(entry.key, ""))


def set_secret(state: EnvironmentState, name: str = "") -> Act:
    """A secret that is typed unseen and cannot be read back; one that was sealed is sealed here again."""

    def grade(values: Values) -> str:
        known = state.secrets.get(values["name"])
        return known.grade if known else "at_rest"

    async def look(_: Client, values: Values) -> Look:
        known = state.secrets.get(values["name"])
        now = f"replaces version {known.version}" if known else "is set for the first time"
        rows: list[Pieces] = [
            seen.place(state),
            [(values["name"] or "the secret", "fg bold"), (f" {now}", "muted")],
        ]
        if grade(values) == "runner_only":
            only = "only the runner opens it: a ciphertext of your own tool is set with dg secret set"
            return Look([*rows, [(only, "err")]], ready=False)
        return Look([*rows, [("nobody can read it back, here or elsewhere", "muted")]], seen.typed(state))

    async def send(dg: Client, values: Values, _: str) -> Any:
        hand_in = dg.environments.seal_secret if grade(values) == "sealed" else dg.environments.set_secret
        return await hand_in(
            state.name, values["name"], values["value"], reason=seen.reason(values), expected=state.version
        )

    def command(values: Values) -> str:
        how = {"sealed": ("--sealed",), "runner_only": ("--runner-only",)}.get(grade(values), ())
        return line(
            "secret", "set", state.name.value, values["name"] or "NAME", *how, *option(values, "reason")
        )

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
            seen.REASON,
        ),
        stamp=seen.stamp(state),
        later=True,
    )


def unset_secret(state: EnvironmentState, name: str) -> Act:
    """A secret taken away."""

    async def look(_: Client, __: Values) -> Look:
        return Look([seen.place(state), [(name, "fg bold"), (" is taken away", "warn")]], seen.typed(state))

    async def send(dg: Client, values: Values, _: str) -> Any:
        return await dg.environments.set_secret(
            state.name, name, None, reason=seen.reason(values), expected=state.version
        )

    return Act(
        title=f"unset a secret of {state.name.value}",
        right="secret:update",
        environment=state.name.value,
        service="",
        look=look,
        send=send,
        command=lambda values: line("secret", "unset", state.name.value, name, *option(values, "reason")),
        done=f"{name} is taken away",
        fields=(seen.REASON,),
        stamp=seen.stamp(state),
    )


def restore(state: EnvironmentState, version: Version) -> Act:
    """What an older version held, as a new one."""

    async def look(dg: Client, _: Values) -> Look:
        found = await dg.environments.diff(state.name, since=state.version, until=version.version)
        return Look(
            [seen.place(state), *differences(found.items)], seen.typed(state), ready=bool(found.items)
        )

    async def send(dg: Client, values: Values, key: str) -> Any:
        return await dg.environments.restore(
            state.name, version.version, reason=seen.reason(values), expected=state.version, key=key
        )

    return Act(
        title=f"restore version {version.version} of {state.name.value}",
        right="environment:update",
        environment=state.name.value,
        service="",
        look=look,
        send=send,
        command=lambda values: line(
            "env", "restore", state.name.value, str(version.version), *option(values, "reason")
        ),
        done=f"{state.name.value} is like version {version.version} again",
        fields=(seen.REASON,),
        stamp=seen.stamp(state),
    )
