"""What one deployment does with a pipeline: the runner's steps, their variables, and the same for people."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from dg.core.deployments.models import Kind
from dg.core.deployments.pipeline.models import Check, Defaults, Phase, Pipeline, Step
from dg.core.deployments.pipeline.placeholders import OUTPUTS_PREFIX, substitute, substitute_shell
from dg.core.errors import Invalid
from dg.core.text import plain
from dg.core.types import COMMIT_PATTERN, Environment

_NOT_KNOWN = {"id": "{id}", "version": "{version}", "sha": "{sha}"}


@dataclass(frozen=True)
class Inputs:
    """What one deployment brings to its pipeline: `sha` the full commit, `version` the label people gave."""

    id: str
    kind: Kind
    environment: Environment
    version: str
    sha: str

    def __post_init__(self) -> None:
        if not (re.fullmatch(COMMIT_PATTERN, self.sha) or self.sha == _NOT_KNOWN["sha"]):
            raise Invalid("`sha` must be a full commit id")
        if not self.version or self.version.startswith("-") or plain(self.version) != self.version:
            raise Invalid(
                "`version` must be printable, not empty, and not begin with a dash",
                errors=[{"field": "version", "message": "must be printable and not begin with a dash"}],
            )


@dataclass(frozen=True)
class PlannedStep:
    """One step that would run. `action` is run, shell or check and `text` shows it; times are in seconds.

    `expected` is how long it took in the lane before, None where nobody knows. `limits` has the names of
    `Limits`; `user` is None for the server's own.
    """

    index: int
    name: str
    phase: Phase
    action: str
    text: str
    timeout: float
    grace: float
    secrets: tuple[str, ...]
    reversible: bool
    cancel: str
    when: str
    background: bool
    resume: str = "rerun"
    idle: float | None = None
    expected: float | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    user: str | None = None
    network: bool = True


def render(pipeline: Pipeline, inputs: Inputs) -> list[dict[str, Any]]:
    """The steps as the runner's ticket wants them: those that `inputs.kind` runs, `index` counted from 0.

    Strings are filled except `{outputs.NAME}`, which only the runner can know.

    Raises:
        Invalid: the environment lacks a setting that a step uses, or a filled value cannot be used.
    """
    values = _values(pipeline, inputs)
    return [
        _ticket_step(pipeline, index, step, values)
        for index, step in enumerate(pipeline.running(inputs.kind))
    ]


def variables(pipeline: Pipeline, inputs: Inputs) -> dict[str, str]:
    """The `DG_*` variables that every step sees."""
    named = {
        "DG_ID": inputs.id,
        "DG_SERVICE": pipeline.service,
        "DG_ENVIRONMENT": inputs.environment.value,
        "DG_VERSION": inputs.version,
        "DG_SHA": inputs.sha,
        "DG_KIND": inputs.kind.value,
    }
    settings = pipeline.settings(inputs.environment)
    return named | {f"DG_ENV_{key.upper()}": value for key, value in settings.items()}


def explain(pipeline: Pipeline, environment: Environment, kind: Kind) -> list[PlannedStep]:
    """What a deployment would run, without running it; `{id}`, `{version}` and `{sha}` stay as they are.

    Raises:
        Invalid: the environment lacks a setting that a step uses.
    """
    inputs = Inputs(kind=kind, environment=environment, **_NOT_KNOWN)
    return [
        _planned(step, ticket)
        for step, ticket in zip(pipeline.running(kind), render(pipeline, inputs), strict=True)
    ]


def _values(pipeline: Pipeline, inputs: Inputs) -> dict[str, str]:
    settings = {f"env.{key}": value for key, value in pipeline.settings(inputs.environment).items()}
    return settings | {
        "id": inputs.id,
        "kind": inputs.kind.value,
        "environment": inputs.environment.value,
        "service": pipeline.service,
        "version": inputs.version,
        "sha": inputs.sha,
    }


def _ticket_step(pipeline: Pipeline, index: int, step: Step, values: Mapping[str, str]) -> dict[str, Any]:
    defaults = pipeline.defaults
    idle = defaults.idle if step.idle is None else step.idle
    try:
        filled = _filled(step, values)
    except Invalid as problem:
        raise Invalid(
            f"step `{step.name}` cannot run in {values['environment']}: {problem.message}",
            reason=problem.reason,
        ) from None
    return {
        "index": index,
        "name": step.name,
        "phase": step.phase,
        **filled,
        "secrets": list(step.secrets),
        "timeout": step.timeout or defaults.timeout,
        "idle": None if step.check else idle or None,
        "grace": step.grace or defaults.grace,
        "cancel": step.cancel,
        "when": step.when,
        "background": step.background,
        **_confined(step, defaults),
    }


def _confined(step: Step, defaults: Defaults) -> dict[str, Any]:
    if step.asks_itself:
        return {"limits": {}, "user": None, "network": True}
    return {
        "limits": step.limits.over(defaults.limits),
        "user": step.user or defaults.user,
        "network": defaults.network if step.network is None else step.network,
    }


def _filled(step: Step, values: Mapping[str, str]) -> dict[str, Any]:
    return {
        "run": _fill_all(step.run, values),
        "shell": None if step.shell is None else substitute_shell(step.shell, values["sha"]),
        "check": None if step.check is None else _filled_check(step.check, values),
        "env": {name: substitute(text, values) for name, text in step.env.items()},
        "output": {name: substitute(text, values) for name, text in step.output.items()},
    }


def _filled_check(check: Check, values: Mapping[str, str]) -> dict[str, Any]:
    return _asked(check, values) | {"for": check.steady, "every": check.every, "timeout": check.timeout}


def _asked(check: Check, values: Mapping[str, str]) -> dict[str, Any]:
    if check.command is not None:
        return {"command": _fill_all(check.command, values)}
    if check.probes is not None:
        return {"probes": list(check.probes)}
    if check.tcp is not None:
        return {"tcp": _usable(substitute(check.tcp, values), scheme="tcp")}
    return {
        "http": _usable(substitute(check.http or "", values), scheme="http"),
        "status": list(check.status),
        "contains": None if check.contains is None else substitute(check.contains, values),
        "headers": {name: substitute(text, values) for name, text in check.headers.items()},
    }


def _fill_all(arguments: tuple[str, ...] | None, values: Mapping[str, str]) -> list[str] | None:
    return None if arguments is None else [substitute(argument, values) for argument in arguments]


def _usable(address: str, *, scheme: str) -> str:
    """`address` if it can be dialled; what still waits for an output is the runner's to judge."""
    if f"{{{OUTPUTS_PREFIX}" in address:
        return address
    try:
        parts = urlsplit(address if scheme == "http" else f"tcp://{address}")
        good = parts.scheme in ({"http", "https"} if scheme == "http" else {"tcp"}) and bool(parts.hostname)
        good = good and (scheme == "http" or parts.port is not None) and parts.port != 0
    except ValueError:
        good = False
    if not good or " " in address or plain(address) != address:
        wanted = "an http:// or https:// address" if scheme == "http" else "host:port"
        raise Invalid(f"its check needs {wanted}, and `{plain(address, limit=100)}` is none")
    return address


def _planned(step: Step, ticket: Mapping[str, Any]) -> PlannedStep:
    action = next(name for name in ("run", "shell", "check") if ticket[name] is not None)
    return PlannedStep(
        index=ticket["index"],
        name=step.name,
        phase=step.phase,
        action=action,
        text=_shown(action, ticket[action]),
        timeout=ticket["timeout"],
        idle=ticket["idle"],
        grace=ticket["grace"],
        secrets=step.secrets,
        reversible=step.reversible,
        cancel=step.cancel,
        resume=step.resume,
        when=step.when,
        background=step.background,
        limits=ticket["limits"],
        user=ticket["user"],
        network=ticket["network"],
    )


def _shown(action: str, what: Any) -> str:
    if action == "shell":
        return plain(what, multiline=True)
    if action == "run":
        return plain(shlex.join(what))
    if probes := what.get("probes"):
        lasting = f" for {what['for']:g} s" if what["for"] else ""
        return plain(f"{', '.join(probes)} {'is' if len(probes) == 1 else 'are'} healthy{lasting}")
    target = what.get("http") or what.get("tcp") or shlex.join(what.get("command", ()))
    return plain(target)
