"""Every pipeline of `examples/` is one that dg takes, and the index names every example."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.examples.example import EXAMPLES

from dg.core.deployments import pipeline

PIPELINES = sorted(EXAMPLES.glob("*/dg.toml"))


@pytest.mark.parametrize("file", PIPELINES, ids=lambda file: file.parent.name)
def test_a_pipeline_has_no_findings(file: Path) -> None:
    assert list(pipeline.lint(pipeline.parse(file.read_text()))) == []


@pytest.mark.parametrize("file", PIPELINES, ids=lambda file: file.parent.name)
def test_programs_of_a_pipeline_are_there_and_can_be_run(file: Path) -> None:
    steps = pipeline.parse(file.read_text()).steps
    programs = {step.run[0] for step in steps if step.run} | {
        step.check.command[0] for step in steps if step.check and step.check.command
    }
    own = [file.parent / program for program in programs if "/" in program]
    assert [program for program in own if not program.stat().st_mode & 0o100] == []


def test_the_index_names_every_example() -> None:
    named = re.findall(r"^\| \[([a-z-]+)\]", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(folder.name for folder in EXAMPLES.iterdir() if folder.is_dir())
