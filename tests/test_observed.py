"""The table of observed figures: the worst counts, failures are in it, and workers' figures arrive."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.observed import HEAD, Figure, table

ROOT = Path(__file__).parents[1]

SUITE = """
import pytest

@pytest.mark.parametrize("seconds", [0.5, 2.5, 1.5])
def test_it(observed, seconds):
    observed("R01", "killed", "until ready", seconds, at_most=2, unit="s")
"""


def test_a_row_holds_the_worst_and_counts_all() -> None:
    same = [Figure("R01", "killed", "until ready", value, 5, "s") for value in (0.25, 1.23456, 1)]
    assert table([Figure("R09", "locked", "lost", 0, 0), *same]) == [
        *HEAD,
        "| R01 | killed | until ready | 1.235 s | 5 s | 3 |",
        "| R09 | locked | lost | 0 | 0 | 1 |",
    ]


def test_without_figures_there_is_no_table() -> None:
    assert table([]) == []


def test_figures_of_passed_and_failed_tests_end_the_run(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import observed, pytest_terminal_summary\n")
    (tmp_path / "test_suite.py").write_text(SUITE)
    options = ("-n", "2", "-p", "no:cacheprovider", "--import-mode=importlib", f"--rootdir={tmp_path}")
    command = (sys.executable, "-m", "pytest", *options, "-o", f"pythonpath={ROOT}", str(tmp_path))
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert "1 failed, 2 passed" in run.stdout, run.stdout + run.stderr
    assert "| R01 | killed | until ready | 2.5 s | 2 s | 3 |" in run.stdout
