"""What goes wrong inside the dashboard itself: told and written down, while everything else goes on."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from textual import events
from textual.await_complete import AwaitComplete
from textual.command import CommandPalette
from textual.message import Message
from textual.message_pump import MessagePump
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widget import Widget
from textual.worker import WorkerFailed

from dg.core.text import plain

LARGEST = 1 << 20
"""Bytes of the file after which nothing more is written to it."""
SHOWN = 60.0
"""Seconds for which a trouble is shown after the last time that it came."""
SAID = 160
"""Most characters of an error's own words."""


class Troubles:
    """The errors of one run, written to `path`, which is its owner's alone; None to write none."""

    def __init__(self, path: Path | None, monotonic: Callable[[], float]) -> None:
        self._path, self._monotonic = path, monotonic
        self._counts: dict[str, int] = {}
        self._last, self._at = "", 0.0
        self._unwritten = ""

    @property
    def count(self) -> int:
        """How often something went wrong."""
        return sum(self._counts.values())

    @property
    def last(self) -> str:
        """The last one in a line, empty without any."""
        return self._last

    def note(self, error: BaseException) -> None:
        """Take one in; each kind is written down the first time that it comes."""
        error = error.error if isinstance(error, WorkerFailed) else error
        said = _said(error)
        self._last, self._at = said, self._monotonic()
        self._counts[said] = self._counts.get(said, 0) + 1
        if self._counts[said] == 1:
            self._write("".join(traceback.format_exception(error)))

    def sentence(self) -> str:
        """What is to be shown now; empty when that is nothing."""
        if not self._last or self._monotonic() - self._at > SHOWN:
            return ""
        times = self._counts[self._last]
        often = f", {times} times" if times > 1 else ""
        where = self._unwritten or f"written to {self._path}"
        return f"the dashboard erred ({self._last}{often}) and goes on; {where}"

    def _write(self, trace: str) -> None:
        if self._path is None:
            self._unwritten = "it is written nowhere, for want of a home directory"
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self._path, flags, 0o600)
            with os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace") as file:
                os.fchmod(descriptor, 0o600)
                if os.fstat(descriptor).st_size < LARGEST:
                    file.write(plain(trace, multiline=True) + "\n")
            self._unwritten = ""
        except OSError as failed:
            self._unwritten = f"{self._path} could not be written ({failed.strerror})"


def _said(error: BaseException) -> str:
    """The error in one line: the innermost one of a group, its kind and its first words."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    words = plain(str(error).strip().partition("\n")[0], limit=SAID)
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


class Steady(MessagePump):
    """Goes on with its next message when one could not be handled. Textual's own would hear no more.

    What becomes of the error is the app's to say, in `_handle_exception`.
    """

    async def _dispatch_message(self, message: Message) -> None:
        try:
            await super()._dispatch_message(message)
        except Exception as error:  # noqa: BLE001  handed on
            tell_app(self, error)


class SteadyScreen(Steady):
    """A screen that is laid out for the size of the terminal as it is, and for none that is over.

    Laid out, Textual's screen sends itself the size that it was laid out for: two different ones on their way
    would follow one another for ever, and nothing else would be heard.
    """

    async def _on_resize(self, event: events.Resize) -> None:
        if event.size != self.app.size:
            event.stop().prevent_default()


class Modal(SteadyScreen, ModalScreen[None]):
    """A screen over another one. A second escape, before the first was heard, closes nothing below it."""

    def dismiss(self, result: None = None) -> AwaitComplete:
        # Textual's own pops whatever is on top by then.
        return super().dismiss(result) if self.is_current else AwaitComplete()


class Palette(SteadyScreen, CommandPalette):
    """Textual's own, which a second escape leaves only once."""

    def dismiss(self, result: None = None) -> AwaitComplete:
        return super().dismiss(result) if self.is_current else AwaitComplete()


def tell_app(node: MessagePump, error: Exception) -> None:
    """Hand an error to what decides whether it is the end: in the dashboard it is none."""
    node.app._handle_exception(error)  # noqa: SLF001  Textual has no other way to it


def drawn(widget: Widget, draw: Callable[[], Strip]) -> Strip:
    """The line that `draw` gives, an empty one where it fails: the lines of all others are drawn."""
    try:
        return draw()
    except Exception as error:  # noqa: BLE001  handed on
        tell_app(widget, error)
    return Strip.blank(widget.size.width, widget.rich_style)


@contextmanager
def noted(node: MessagePump) -> Iterator[None]:
    """Hand an error to the app and go on behind the block."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  handed on
        tell_app(node, error)
