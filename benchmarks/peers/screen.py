"""`python -m benchmarks.peers.screen WIDGET AMOUNT FILE`: one widget on a real terminal, and what it cost.

WIDGET is `table` or `log` for dg's own, `data-table` or `rich-log` for Textual's. AMOUNT is the rows of a
table, or for how many seconds lines come. FILE gets JSON by figure.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from textual.app import App, ComposeResult
from textual.widgets import DataTable, RichLog

from dg.tui.themed import Themed
from dg.tui.widgets.log import Line, Log
from dg.tui.widgets.table import Column, Table

CHANGES = 30
BETWEEN = 0.05
"""Seconds between two changes, so that each is painted by itself."""
LINES = 10_000
"""A second."""
BATCHES = 20
"""A second, in which lines come."""

TITLES = ("state", "environment", "version", "commit", "change", "by", "took", "age")
Cells = tuple[str, ...]


def cells(number: int, what: str = "success") -> Cells:
    """One row."""
    return (what, "production", f"1.4.{number}", "9f1c2ab", "retry writes on 503", "ana", "1m28", str(number))


class Measured(Themed[None]):
    """An app that measures itself and ends."""

    def __init__(self, widget: str, rows: int) -> None:
        super().__init__(theme="dg-night")
        self.widget, self.rows = widget, rows
        self.found: dict[str, float] = {}

    def compose(self) -> ComposeResult:
        match self.widget:
            case "table":
                columns = [
                    Column[Cells](title, title, lambda row, at=at: [(row[at], "fg")], 12)  # type: ignore[misc]
                    for at, title in enumerate(TITLES)
                ]
                yield Table[Cells](columns, lambda row: row[-1])
            case "data-table":
                yield DataTable[str]()
            case "log":
                yield Log()
            case _:
                yield RichLog(max_lines=50_000)

    def on_mount(self) -> None:
        if isinstance(found := self.screen.children[0], DataTable):
            found.add_columns(*((title, title) for title in TITLES))
            for number in range(self.rows):
                found.add_row(*cells(number), key=str(number))
        elif isinstance(found, Table):
            found.replace(cells(number) for number in range(self.rows))
        self.call_after_refresh(self.painted)

    def painted(self) -> None:
        self.found["first paint"] = time.process_time()
        self.run_worker(self.measure(), exit_on_error=True)

    async def measure(self) -> None:
        widget = self.screen.children[0]
        await asyncio.sleep(1)
        if isinstance(widget, Table | DataTable):
            widget.focus()
            self.found["one cell"] = await self.each(lambda at: change(widget, at))
            self.found["page down"] = await self.each(lambda at: page(widget))
        else:
            await self.flood(widget)
        self.found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.exit()

    async def each(self, act: Callable[[int], None]) -> float:
        """CPU milliseconds of one act and what is painted for it."""
        before = time.process_time()
        for at in range(CHANGES):
            act(at)
            await asyncio.sleep(BETWEEN)
        return (time.process_time() - before) / CHANGES * 1000

    async def flood(self, widget: object) -> None:
        """Lines as fast as they come: how many were taken, the share of a core, and how late the loop was."""
        before, start, lags, taken = time.process_time(), time.perf_counter(), list[float](), 0
        each = LINES // BATCHES
        for batch in range(self.rows * BATCHES):
            text = [f"{batch:06} GET /v1/deployments 200 in 12 ms from 10.0.0.7 by ana" for _ in range(each)]
            if isinstance(widget, Log):
                widget.append(map(Line, text))
            elif isinstance(widget, RichLog):
                for line in text:
                    widget.write(line)
            taken += each
            due = start + (batch + 1) / BATCHES
            await asyncio.sleep(max(0, due - time.perf_counter()))
            lags.append(max(0.0, time.perf_counter() - due))
        spent = time.perf_counter() - start
        self.found["lines"] = taken / spent
        self.found["share"] = (time.process_time() - before) / spent * 100
        self.found["lag"] = sorted(lags)[int(len(lags) * 0.99)] * 1000


def change(widget: Table[Cells] | DataTable[str], at: int) -> None:
    """Another text in one cell that is in view."""
    if isinstance(widget, Table):
        widget.update(cells(at % 20, f"state {at}"))
    else:
        widget.update_cell(str(at % 20), "state", f"state {at}")


def page(widget: Table[Cells] | DataTable[str]) -> None:
    if isinstance(widget, Table):
        widget.action_page(1)
    else:
        widget.action_page_down()


def main() -> None:
    app: App[None] = Measured(sys.argv[1], int(sys.argv[2]))
    app.run()
    if isinstance(app, Measured):
        Path(sys.argv[3]).write_text(json.dumps(app.found))


if __name__ == "__main__":
    main()
