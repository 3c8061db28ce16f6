"""`python -m benchmarks.peers.hour WHICH FACTS FILE`: facts as fast as they are taken, and what that cost.

WHICH is `dashboard`, or `stock` for Textual's own parts. FILE gets JSON by figure.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from textual.widgets import DataTable, RichLog

from benchmarks.peers.stock import Stock
from benchmarks.processes import memory
from dg.client.app import Client
from dg.tui.app import Dashboard
from dg.tui.store import Link, LinkState, Store
from dg.tui.views import DeploymentView, FactView

MOMENT = 1_790_000_000_000_000
TURN = 100
"""Facts between two turns of the event loop, in which pictures are made."""
EACH = 20
"""Facts of one deployment."""
WARM = 2000
"""Facts before memory is looked at: what is kept of the newest ones is full by then."""


def fact(at: int) -> FactView:
    number = at // EACH
    return FactView(
        at, MOMENT + at, "deployment.advanced", "ana", "web", "staging", number, f"advanced {at}", "progress"
    )


def deployment(at: int) -> DeploymentView:
    number = at // EACH
    state = "success" if at % EACH == EACH - 1 else "deploying"
    return DeploymentView(
        f"d{number}", number, "web", "staging", "deploy", state, state, "release", f"1.{number}", "9f1c2ab",
        "ana", MOMENT + at, started_at=MOMENT, note=f"note {at}", revision=at,
    )  # fmt: skip


class Replayed(Dashboard):
    """The dashboard without a server; what a feed would put into its store comes from here."""

    def __init__(self, facts: int) -> None:
        super().__init__(lambda: Client("http://127.0.0.1:9", "tok.en"), theme="dg-night")
        self.facts = facts
        self.found: dict[str, float] = {}

    def on_ready(self) -> None:
        self.store.set_link(Link(LinkState.LIVE))
        self.run_worker(self.replay(), exit_on_error=True)

    async def replay(self) -> None:
        self.found = await replay(self.facts, lambda at: take(self.store, at))
        self.exit()


class StockReplayed(Stock):
    """The same in Textual's own parts: a row for each deployment, a line for each fact, as many kept."""

    def __init__(self, facts: int) -> None:
        super().__init__()
        self.facts = facts
        self.found: dict[str, float] = {}

    def on_ready(self) -> None:
        self.rich_log = RichLog(max_lines=200)
        self.mount(self.rich_log)
        self.run_worker(self.replay(), exit_on_error=True)

    async def replay(self) -> None:
        self.found = await replay(self.facts, self.take)
        self.exit()

    def take(self, at: int) -> None:
        table, found = self.query(DataTable).first(), deployment(at)
        self.rich_log.write(fact(at).said)
        if at % EACH == 0:
            table.add_row(
                str(found.number),
                found.state,
                "staging",
                found.version,
                found.note,
                "ana",
                "",
                "",
                key=found.id,
            )
        else:
            table.update_cell(found.id, "state", found.state)
        if len(table.rows) > 200:
            table.remove_row(next(iter(table.rows)))


def take(store: Store, at: int) -> None:
    store.put_deployment(deployment(at))
    store.add_fact(fact(at))
    store.seq = at


async def replay(facts: int, take: Callable[[int], None]) -> dict[str, float]:
    """CPU microseconds of one fact, and megabytes by which the process grew."""
    before, spent = 0.0, time.process_time()
    for at in range(facts):
        take(at)
        if at % TURN == 0:
            await asyncio.sleep(0.001)
        if at == WARM:
            before = memory(os.getpid())
    await asyncio.sleep(1)
    each = (time.process_time() - spent) / facts * 1e6
    return {"growth": max(0.0, memory(os.getpid()) - before), "each": each}


def main() -> None:
    which, facts, file = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    app = Replayed(facts) if which == "dashboard" else StockReplayed(facts)
    app.run()
    file.write_text(json.dumps(app.found), "utf-8")


if __name__ == "__main__":
    main()
