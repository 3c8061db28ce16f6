"""The tables of the environments screen by page, and what fills each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from dg.core.text import counted
from dg.tui.environments.drawing import backups, document, drift, lanes, probes
from dg.tui.environments.drawing.document import Entry
from dg.tui.environments.drawing.health import UNREAD
from dg.tui.environments.drawing.lanes import LaneRow
from dg.tui.environments.drawing.probes import ProbeRow
from dg.tui.environments.reading import Known
from dg.tui.hints import hint
from dg.tui.views import LaneView
from dg.tui.widgets.table import Table

if TYPE_CHECKING:
    from dg.core.backup.models import BackupRecord
    from dg.core.drift.models import ServiceDrift
    from dg.core.environments.models import Difference, Version

PAGES = ("config", "history", "compare", "lanes", "drift", "backups")
"""What is seen of an environment beside its health."""
BACKS_UP = "environments.back-up", "makes one"
COMPARES = "environments.compare", "compares with another"


class Tables:
    """`now` gives the moment, in microseconds; `offered` says which key does something now, by its name in
    a keymap and what it does. `pages` are turned; probes stand beside them."""

    def __init__(self, now: Callable[[], int], offered: Callable[[str, str], str]) -> None:
        self._offered = offered
        self.probes = Table[ProbeRow](
            probes.columns(), lambda row: row.key, empty="no probes yet", id="probes", classes="box"
        )
        self.entries = Table[Entry](document.entry_columns(), lambda row: row.key, empty="not configured yet")
        self.versions: Table[Version] = Table(
            document.version_columns(now), lambda row: str(row.version), empty="never configured"
        )
        self.differences: Table[Difference] = Table(
            document.difference_columns(), lambda row: row.key, empty="nothing differs"
        )
        self.lanes = Table[LaneRow](lanes.columns(), lambda row: row.key, empty="nothing deploys here yet")
        self.drift: Table[ServiceDrift] = Table(
            drift.columns(), lambda row: row.service, empty="nothing says here what runs: dg env runs"
        )
        self.backups: Table[BackupRecord] = Table(
            backups.columns(now), lambda row: row.id, empty="no backup yet"
        )
        turned = (self.entries, self.versions, self.differences, self.lanes, self.drift, self.backups)
        self.pages: dict[str, Table[Any]] = dict(zip(PAGES, turned, strict=True))
        self._empty = tuple((table, table.empty) for table in (self.probes, *turned))

    def fill(self, found: Known, environment: str, known: Iterable[LaneView]) -> None:
        """Show what is known of an environment."""
        # The past is read first: nothing can be said to be missing before.
        for table, empty in self._empty:
            table.empty = UNREAD if found.lacks("past") else empty
        if self.backups.empty != UNREAD and (way := self._offered(*BACKS_UP)):
            self.backups.empty = f"{self.backups.empty}: {way}"
        self.probes.replace(probes.rows(found.health, found.past) if found.health else ())
        self.entries.replace(document.entries(found.state) if found.state else ())
        self.versions.replace(found.versions)
        self.differences.replace(found.other.items if found.other else ())
        self.lanes.replace(lanes.rows(environment, known, found.freezes, found.blocks))
        self.drift.replace(found.drift)
        self.backups.replace(found.backups)

    def said(self, page: str) -> str:
        """What stands below a page."""
        many = len(self.pages[page])
        return {
            "config": counted(many, "key"),
            "history": f"{counted(many, 'version')} · {hint(self.versions, 'table.open', 'shows one')}",
            "compare": " · ".join(filter(None, (f"{many} differ", self._offered(*COMPARES)))),
            "lanes": counted(sum(key.startswith("lane ") for key in self.lanes.keys), "lane"),
            "drift": f"{many} checked",
            "backups": f"{many} kept",
        }[page]
