"""What a deployment changes in the files: their names on one side, the patch on the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from dg.core.errors import Problem
from dg.core.text import counted
from dg.tui import drawing
from dg.tui.background import begin
from dg.tui.errors import sentence
from dg.tui.frame.foot import Foot
from dg.tui.frame.saving import Save
from dg.tui.frame.view import View
from dg.tui.ink import Piece, Pieces, apart, label
from dg.tui.store import Topic
from dg.tui.views import DeploymentView
from dg.tui.widgets.log import Level, Line, Log
from dg.tui.widgets.panel import Panel
from dg.tui.widgets.table import Column, Table

if TYPE_CHECKING:
    from dg.core.deployments.models import Diff

ALL = ""
"""The row of all files together."""
HEAD = "diff --git "
"""How the part of a file begins in a patch."""


@dataclass(frozen=True)
class FileRow:
    """One file, or all of them (ALL); None lines for what is not text."""

    path: str
    added: int | None
    removed: int | None


COLUMNS = (
    Column[FileRow](
        "path",
        "file",
        lambda row: [(row.path or "all files", "fg bold" if not row.path else "fg")],
        12,
        flex=True,
    ),
    Column[FileRow]("added", "+", lambda row: _lines(row.added, "ok"), 6, right=True),
    Column[FileRow]("removed", "-", lambda row: _lines(row.removed, "err"), 6, right=True),
)


def _lines(count: int | None, ink: str) -> Pieces:
    return [("–", "muted")] if count is None else [(f"{count:,}" if count else "", ink)]


def rows(found: Diff) -> list[FileRow]:
    """All files together, then each that is named."""
    files = found.files
    each = [FileRow(file.path, file.added, file.removed) for file in files.files]
    return [FileRow(ALL, files.added, files.removed), *each]


def lines(patch: str, *, cut: bool = False) -> Iterator[Line]:
    """A patch as lines of a log, in which those that begin a file are found as its errors are."""
    inside = False
    for text in patch.splitlines():
        if text.startswith(HEAD):
            inside = False
            yield Line(text, level=Level.ERROR, ink="fg bold")
            continue
        inside = inside or text.startswith("@@")
        yield Line(text, ink=_ink(text, inside=inside))
    if cut:
        yield Line("… it goes on: the files by themselves show more", level=Level.WARNING)


def _ink(text: str, *, inside: bool) -> str:
    if not inside:
        return "muted"
    return {"+": "ok", "-": "err", "@": "progress"}.get(text[:1], "fg")


class Difference(View):
    """The files of one deployment. `mode` is the tab it was opened from, `found` what was read already."""

    CSS = """
    Difference #head { height: 3; }
    Difference #body { height: 1fr; }
    Difference #files { width: 48; height: 1fr; }
    Difference #patch { width: 1fr; height: 1fr; }
    Difference.-narrow #body { layout: vertical; }
    Difference.-narrow #files { width: 1fr; height: 8; }
    Difference.-low #files { display: none; }
    """
    TWINS: ClassVar = {"files and what changes in them": "dg diff --patch"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="diff.back"),
        Binding("tab", "app.focus_next", "Files", id="diff.next"),
        Binding("ctrl+s", "save", "Save", id="diff.save"),
        Binding("r", "app.retry", "Refresh", show=False, id="view.refresh"),
    ]

    def __init__(self, deployment: DeploymentView, mode: str, found: Diff) -> None:
        super().__init__()
        self.MODE = mode
        self._deployment, self._found = deployment, found
        self._patches: dict[str, Diff] = {ALL: found}
        self._shown = ""
        self._head_box = Panel(self._head, id="head", classes="box content")
        self._table = Table[FileRow](
            COLUMNS, lambda row: row.path, empty="no file differs", id="files", classes="box"
        )
        self._patch = Log(lead=False, finds="file", empty="nothing differs", id="patch", classes="box")
        self._patch.ended = True
        self._save = Save()

    def compose(self) -> ComposeResult:
        yield self.bar()
        production = self._deployment.in_production
        self._head_box.set_class(production, "-production")
        where = self._deployment.environment
        self._head_box.border_title = label(where.upper() if production else where)
        yield self._head_box
        with Horizontal(id="body", classes="content"):
            yield self._table
            yield self._patch
        yield self._save
        yield Foot()

    def on_mount(self) -> None:
        self._table.border_title = label("files")
        self._table.replace(rows(self._found))
        self._fill(ALL)
        self._table.focus()

    @property
    def subject(self) -> DeploymentView | None:
        return self.store.deployments.get(self._deployment.id, self._deployment)

    def show(self, topics: frozenset[Topic]) -> None:
        self._head_box.redraw()

    def subtitles(self) -> Mapping[str, str]:
        files = self._found.files
        more = files.total - len(files.files)
        return {
            "head": f"{self.MODE} › #{self._deployment.number} › diff",
            "files": f"{counted(files.total, 'file')}{f', {more:,} of them not named' if more else ''}",
            "patch": self._patch.said,
        }

    def on_log_changed(self, event: Log.Changed) -> None:
        if self.store.link.live:
            event.control.border_subtitle = label(event.control.said)

    def on_log_copied(self, event: Log.Copied) -> None:
        self.dashboard.tell(f"copied {counted(event.lines, 'line')}")

    def _head(self, width: int, _: int) -> list[Pieces]:
        found = self._deployment
        base = self._found.base[:7] if self._found.base else "nothing that is known"
        what: list[Piece] = [
            (f"{found.service} ", "fg"),
            (found.version, "fg bold"),
            (f"  {base} → {self._found.head[:7]}", "muted"),
        ]
        who: Piece = (f"{found.by} · {drawing.ago(found.created_at, self.now)} ago", "muted")
        return [apart(what, [who], width)]

    # One file

    def on_table_moved(self, event: Table.Moved) -> None:
        if event.key is not None:
            begin(self, "patch", partial(self._look, event.key))

    def on_table_opened(self, event: Table.Opened) -> None:
        self._patch.focus()

    async def _look(self, path: str) -> None:
        if path not in self._patches:
            try:
                found = await self.dashboard.feed.call(
                    lambda dg: dg.deployments.diff(self._deployment.id, file=path)
                )
            except Problem as problem:
                self._write(path, [Line(f"✗ {sentence(problem)}", ink="err")])
                return
            self._patches[path] = found
        self._fill(path)

    def _fill(self, path: str) -> None:
        found = self._patches[path]
        if (found.base, found.head) != (self._found.base, self._found.head):
            moved = Line("▲ what runs there has moved since this was opened", ink="warn bold")
            self._write(path, [moved, *lines(found.patch, cut=found.cut)])
        else:
            self._write(path, lines(found.patch, cut=found.cut))

    def _write(self, path: str, found: Iterable[Line]) -> None:
        self._shown = path
        self._patch.border_title = label(path or "all files")
        self._patch.clear()
        self._patch.append(found)
        self._patch.action_first()

    # Keys

    def action_back(self) -> None:
        """Back to the deployment."""
        if self.is_current:
            self.app.pop_screen()

    def action_save(self) -> None:
        """Save what is shown of the patch."""
        found = [line.safe for line in self._patch.picked]
        name = f"{self._deployment.service}-{self._deployment.number}.patch"
        self._save.ask(counted(len(found), "line"), name, lambda: "\n".join((*found, "")), self._patch)
