"""The pipeline: what `dg.toml` may say, read, judged and turned into the steps of one deployment. No I/O."""

from dg.core.deployments.pipeline.first import template
from dg.core.deployments.pipeline.lint import Finding, lint
from dg.core.deployments.pipeline.models import (
    Check,
    Defaults,
    EnvironmentTable,
    Pipeline,
    Rollback,
    Source,
    Step,
    Trigger,
)
from dg.core.deployments.pipeline.parse import parse, sha256
from dg.core.deployments.pipeline.plan import Inputs, PlannedStep, explain, render, variables

__all__ = [
    "Check",
    "Defaults",
    "EnvironmentTable",
    "Finding",
    "Inputs",
    "Pipeline",
    "PlannedStep",
    "Rollback",
    "Source",
    "Step",
    "Trigger",
    "explain",
    "lint",
    "parse",
    "render",
    "sha256",
    "template",
    "variables",
]
