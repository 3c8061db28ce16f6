"""What fault tests measured, gathered from every worker into the one table that ends a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pytest

PROPERTY = "observed"
"""Under which a figure travels with its test's report, also from one process to another."""
HEAD = ("| promise | fault | observed | worst | at most | times |", "|---|---|---|---:|---:|---:|")


@dataclass(frozen=True)
class Figure:
    """One measurement under one fault; `promise` is the number that the test's docstring names."""

    promise: str
    fault: str
    what: str
    value: float
    at_most: float
    unit: str = ""

    @property
    def subject(self) -> tuple[str, str, str]:
        """What measurements of several tests have in common."""
        return self.promise, self.fault, self.what


class Observed:
    """Keeps the figures of one test; given to it as the fixture `observed`."""

    def __init__(self, node: pytest.Item) -> None:
        self._node = node

    def __call__(
        self, promise: str, fault: str, what: str, value: float, *, at_most: float, unit: str = ""
    ) -> None:
        """Keep a figure, then fail the test if it is too high."""
        figure = Figure(promise, fault, what, value, at_most, unit)
        self._node.user_properties.append((PROPERTY, asdict(figure)))
        assert value <= at_most, f"{promise}, {fault}: {what} is {value} {unit}, at most {at_most}"


def figures(reports: Iterable[Any]) -> Iterator[Figure]:
    """Of the tests that ran."""
    for report in reports:
        if isinstance(report, pytest.TestReport) and report.when == "call":
            for name, value in report.user_properties:
                if name == PROPERTY and isinstance(value, dict):
                    yield Figure(**value)


def table(found: Iterable[Figure]) -> list[str]:
    """Lines of a Markdown table: a row for each subject, with the worst of its figures."""
    rows: dict[tuple[str, str, str], list[Figure]] = {}
    for figure in found:
        rows.setdefault(figure.subject, []).append(figure)
    return [*HEAD, *(_row(rows[subject]) for subject in sorted(rows))] if rows else []


def _row(same: list[Figure]) -> str:
    worst = max(same, key=lambda figure: figure.value)
    value, at_most = (f"{number:.4g} {worst.unit}".strip() for number in (worst.value, worst.at_most))
    return f"| {' | '.join((*worst.subject, value, at_most, str(len(same))))} |"
