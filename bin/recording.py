"""A recording of an incident on the dashboard, from a sandbox of its own, as an asciicast (version 2).

`bin/pictures` starts it. A person sits at a real pseudo-terminal: they type, wait until they see something,
and type on. What happens is what the servers of the sandbox do.
"""

from __future__ import annotations

import asyncio
import codecs
import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from dg.cli.output import Output
from dg.cli.sandbox import Lines
from dg.core.clock import Clock, SystemClock
from dg.core.types import Environment
from dg.sandbox.app import Options, open_scene
from dg.sandbox.care import Care
from dg.sandbox.people import Person
from dg.sandbox.scene import Scene
from dg.sandbox.server import environ
from dg.sandbox.story import Story

COLUMNS, ROWS = 120, 36
WITHIN = 60.0
BETWEEN_KEYS = 0.12
LONGEST_STILL = 1.2
"""Seconds for which nothing moves in the recording, however long it took."""
RESET = re.compile(r"\x1b\[0m\x1b\[([0-9;]+)m")
CONTROLS = re.compile(
    r"\x1b\[[0-9;?<>=]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][A-Z0-9]|\x1b."
)


class Recorder:
    """A program on a pseudo-terminal, its person's hands, and everything it writes with its time."""

    def __init__(self, controller: int, clock: Clock) -> None:
        self._controller, self._clock = controller, clock
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._last = clock.monotonic()
        self._at = 0.0
        self._seen, self._mark = "", 0
        self.events: list[tuple[float, str]] = []

    def take(self) -> None:
        """Keep what was written since; the event loop calls it when there is something."""
        try:
            text = self._decode(os.read(self._controller, 1 << 16))
        except OSError:  # its program has ended
            asyncio.get_running_loop().remove_reader(self._controller)
            return
        now = self._clock.monotonic()
        self._at += min(now - self._last, LONGEST_STILL)
        self._last = now
        self._seen += CONTROLS.sub("", text)
        if text:
            self.events.append((round(self._at, 3), text))

    async def see(self, words: str) -> None:
        """Wait until something is written since the last key. Raises SystemExit when it is not."""
        end = self._clock.monotonic() + WITHIN
        while words not in self._seen[self._mark :]:
            if self._clock.monotonic() > end:
                raise SystemExit(f"{words!r} was not seen, but: {self._seen[self._mark :][-3000:]}")
            await self._clock.sleep(0.05)

    async def type(self, keys: str) -> None:
        self._mark = len(self._seen)
        for key in keys:
            await self._clock.sleep(BETWEEN_KEYS)
            os.write(self._controller, key.encode())

    async def look(self, seconds: float) -> None:
        """Give whoever watches the time to read."""
        await self._clock.sleep(seconds)

    def asciicast(self) -> str:
        header = {"version": 2, "width": COLUMNS, "height": ROWS, "title": "An incident, on dg's dashboard"}
        # The same in fewer bytes: one sequence that resets and sets, for two.
        shown = ((at, RESET.sub(lambda both: f"\x1b[0;{both[1]}m", text)) for at, text in self.events)
        lines = (json.dumps([at, "o", text], ensure_ascii=False) for at, text in shown)
        return "\n".join([json.dumps(header), *lines]) + "\n"


@asynccontextmanager
async def dashboard(person: Person, clock: Clock) -> AsyncIterator[Recorder]:
    """`dg tui` of this person on a terminal of its own."""
    controller, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    theirs = {
        **environ(os.environ),
        "DG_URL": person.client.url,
        "DG_TOKEN": person.token,
        "HOME": str(person.folder),
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dg", "tui", "--theme", "night"),
        stdin=end,
        stdout=end,
        stderr=end,
        env=theirs,
        start_new_session=True,
    )
    os.close(end)
    recorder = Recorder(controller, clock)
    asyncio.get_running_loop().add_reader(controller, recorder.take)
    try:
        yield recorder
        async with asyncio.timeout(WITHIN):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        asyncio.get_running_loop().remove_reader(controller)
        os.close(controller)


async def prepare(scene: Scene) -> str:
    """Two good releases everywhere, a bad one in staging; the bad one's name."""
    story, care = Story(scene), Care(scene)
    first, good, bad = scene.repository.tags
    await story.deploy(first, Environment.DEVELOPMENT)
    for version in (first, good):
        await story.deploy(version, Environment.STAGING)
        asked = await story.ask(version, Environment.PRODUCTION)
        await story.approve(asked)
        await story.finish(asked)
    await care.probe()
    await story.deploy(bad, Environment.STAGING)
    await care.find_healthy()
    return bad


async def play(scene: Scene, bad: str, seen: Recorder) -> None:
    """Ben approves a release that turns out bad, sees it fail and come back, reads why, and hands over."""
    await seen.see("live")
    await seen.look(1.5)
    await Story(scene).ask(bad, Environment.PRODUCTION)
    await seen.see(bad)
    await seen.look(1.5)
    await seen.type("2")
    await seen.look(0.8)
    await seen.type("\r")
    await seen.see("Approve")
    await seen.look(2)
    await seen.type("p")
    await seen.see("and press enter")
    await seen.look(2)
    await seen.type(f"{bad}\r")
    await seen.see("did not pass")
    await seen.look(4)
    await seen.type("1")
    await seen.see("rolled back")
    await seen.look(4)
    await seen.type("H")
    await seen.see("saves to a file")
    await seen.look(4)
    await seen.type("\x1b")
    await seen.look(0.5)
    await seen.type("q")


async def main() -> str:
    clock = SystemClock()
    lines = Lines(Output(sys.stderr, json=False, environ={}), dashboard=True)
    async with open_scene(Options(), lines, clock) as scene:
        bad = await prepare(scene)
        async with dashboard(scene.people.ben, clock) as seen:
            await play(scene, bad, seen)
        return seen.asciicast()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(asyncio.run(main()), "utf-8")
