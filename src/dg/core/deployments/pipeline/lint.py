"""What is allowed in a pipeline and still likely a mistake; few findings, each with the way out."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from dg.core.deployments.models import Kind
from dg.core.deployments.pipeline.models import Check, Pipeline, Step, env_keys
from dg.core.types import Environment


@dataclass(frozen=True)
class Finding:
    """An `error` will make deployments fail, a `warning` may be meant. `field` as in `parse`, "" for all."""

    level: Literal["error", "warning"]
    field: str
    message: str


def lint(pipeline: Pipeline) -> list[Finding]:
    """Findings in the order of the file, those about the whole first."""
    findings = list(_about_phases(pipeline))
    for at, step in enumerate(pipeline.steps):
        findings += _about_step(pipeline, f"step[{at}]", step)
    return findings


def _about_phases(pipeline: Pipeline) -> Iterator[Finding]:
    phases = {step.phase for step in pipeline.steps}
    if "deploy" not in phases:
        yield Finding("warning", "", 'no step deploys; add one with phase = "deploy"')
    if "verify" not in phases:
        yield Finding(
            "warning",
            "",
            "no step verifies, so dg cannot tell a bad release and never rolls back by itself; add a check",
        )


def _about_step(pipeline: Pipeline, field: str, step: Step) -> Iterator[Finding]:
    yield from _missing_settings(pipeline, field, step)
    if not step.reversible and step.runs_on(Kind.ROLLBACK):
        yield Finding(
            "warning",
            f"{field}.reversible",
            'cannot be undone but also runs on a rollback; add on = ["deploy"]',
        )
    timed = step.timeout or "timeout" in pipeline.defaults.model_fields_set
    if step.phase == "deploy" and not step.check and not timed:
        yield Finding(
            "warning", f"{field}.timeout", "is not set, so 15 minutes hold; say how long this step may take"
        )
    if step.check:
        yield from _about_check(pipeline, field, step, step.check)


def _about_check(pipeline: Pipeline, field: str, step: Step, check: Check) -> Iterator[Finding]:
    timeout = step.timeout or pipeline.defaults.timeout
    if check.steady >= timeout:
        yield Finding(
            "error",
            f"{field}.check.for",
            f"is not shorter than the step's timeout ({timeout:g} s), so it never passes",
        )
    if step.secrets and not check.command:
        yield Finding("warning", f"{field}.secrets", "reach no process where dg itself asks; remove them")
    if check.http and _is_plain_http(check.http, pipeline):
        yield Finding(
            "warning",
            f"{field}.check.http",
            "asks production without https; a stranger on the way could answer",
        )


def _missing_settings(pipeline: Pipeline, field: str, step: Step) -> Iterator[Finding]:
    for below, text in step.templates():
        for environment in pipeline.environments:
            for key in sorted(env_keys(text) - pipeline.settings(environment).keys()):
                yield Finding(
                    "error",
                    f"{field}.{below}",
                    f"uses {{env.{key}}}, which [env.{environment}.settings] lacks",
                )


def _is_plain_http(template: str, pipeline: Pipeline) -> bool:
    """Whether the address, as production fills it, crosses a network unprotected."""
    for key, value in pipeline.settings(Environment.PRODUCTION).items():
        template = template.replace(f"{{env.{key}}}", value)
    try:
        parts = urlsplit(template)
        host = parts.hostname or ""
    except ValueError:
        return False
    return parts.scheme == "http" and not _is_inside(host)


def _is_inside(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal"))
