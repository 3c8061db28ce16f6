"""Which command changes one key of an environment: the dashboard shows it for each edit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dg.tui.actions import Values, line
from dg.tui.environments.drawing.document import text
from dg.tui.fields import option

if TYPE_CHECKING:
    from dg.core.environments.models import EnvironmentState


def change_of(state: EnvironmentState, values: Values) -> str:
    """The command for the `key`, `value` and `reason` that were typed; an empty value takes the key away."""
    environment, key, value = state.name.value, values["key"], values["value"]
    part, _, name = key.partition(".")
    why = option(values, "reason")
    match part:
        case "domain":
            return line("env", "set", environment, "--domain", value, *why)
        case "config":
            change = (f"{name}={value}",) if value else ("--unset", name or "NAME")
            return line("env", "set", environment, *change, *why)
        case "runs":
            return line("env", "runs", environment, name or "SERVICE", *_check(value), *why)
        case "probes":
            return probe_change(state, name or "NAME", _table(value), why)
        case _:
            return line("env", "edit", environment, *why)


def probe_change(
    state: EnvironmentState, name: str, wanted: Mapping[str, Any], why: tuple[str, ...] = ()
) -> str:
    """The command that makes a probe what is `wanted`; nothing takes it away."""
    environment = state.name.value
    if not wanted:
        return line("probe", "remove", environment, name, *why)
    before = state.probes.get(name, {})
    pairs = [f"{key}={text(value)}" for key, value in wanted.items() if before.get(key) != value]
    gone = [word for key in before if key not in wanted for word in ("--unset", key)]
    # One that changes nothing says everything, so that it is a command still.
    same = [] if pairs or gone else [f"{key}={text(value)}" for key, value in wanted.items()]
    return line("probe", "set", environment, name, *pairs, *same, *gone, *why)


def _check(value: str) -> tuple[str, ...]:
    """The options of `dg env runs` for a check that was typed as JSON; words before `--` are its command."""
    found = _table(value)
    if not found:
        return ("--unset",)
    options = {"url": "--at", "pointer": "--pointer", "pattern": "--pattern"}
    given = [word for key, option in options.items() if found.get(key) for word in (option, str(found[key]))]
    spans = {"interval": "--every", "timeout": "--timeout"}
    given += [word for key, option in spans.items() if key in found for word in (option, f"{found[key]}s")]
    command = found.get("command")
    return (*given, "--", *map(str, command)) if isinstance(command, list) and command else tuple(given)


def _table(value: str) -> Mapping[str, Any]:
    try:
        found = json.loads(value or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
