"""`python -m benchmarks [--json] [name ...]`: take all figures or the named ones, print the table."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks import report
from benchmarks.figures import (
    creates,
    dashboard,
    fanout,
    flood,
    idle,
    parts,
    probes,
    run,
    start,
    status,
    widgets,
)

FIGURES: Mapping[str, Callable[[Path], Iterator[report.Row]]] = {
    "status": status.measure,
    "parts": parts.measure,
    "creates": creates.measure,
    "run": run.measure,
    "fanout": fanout.measure,
    "flood": flood.measure,
    "idle": idle.measure,
    "probes": probes.measure,
    "start": start.measure,
    "widgets": widgets.measure,
    "dashboard": dashboard.measure,
}


def main() -> int:
    """1 when a budget is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure dg against floors.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"one of {', '.join(FIGURES)}; none: all")
    parser.add_argument("--json", action="store_true", help="print a JSON document instead of the table")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in FIGURES]:
        parser.error(f"there is no figure {unknown[0]}; there are {', '.join(FIGURES)}")
    before = report.load()
    rows: list[report.Row] = []
    for name in asked.names or FIGURES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="dg-bench-") as folder:
            rows += FIGURES[name](Path(folder))
    after = report.load()
    if asked.json:
        print(report.document(rows, before, after))
    else:
        print(f"{report.machine()}\nload before {before}, after {after}\n\n{report.table(rows)}")
    return int(any(row.kept is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
