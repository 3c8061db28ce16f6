"""Log lines on the terminal, below a heading for each step, or as plain lines and JSON for other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dg.cli.output import Meaning, Output

if TYPE_CHECKING:
    from dg.core.deployments.models import LogLine, LogPage, Step


class Printer:
    """Prints the pages of one log in order; `steps` are only needed for a terminal's headings."""

    def __init__(self, output: Output, steps: Sequence[Step] = ()) -> None:
        self._output = output
        self._names: Mapping[int | None, str] = {step.index: step.name for step in steps}
        self._heading: str | None = None

    def page(self, page: LogPage) -> None:
        """One page, flushed at once: somebody may follow."""
        from dg.cli.remote import record

        if page.left_out and not self._output.json:
            self._output.line((f"… {page.left_out} lines left out …", Meaning.WARN))
        for line in page.items:
            if self._output.json:
                record(self._output, line)
            else:
                self._line(line)
        self._output.stream.flush()

    def _line(self, line: LogLine) -> None:
        heading = self._names.get(line.step, "checkout")
        if self._output.terminal and heading != self._heading:
            self._output.line((f"── {heading}", Meaning.DIM))
            self._heading = heading
        self._output.line(line.text.expandtabs(8))
