"""Starts real runners through their command line, as the server does, and reads what they leave."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dg.runner import handover, processes, spool

T = TypeVar("T")
PATIENCE = 60.0
PATH = "/usr/local/bin:/usr/bin:/bin"
PYTHON = sys.executable


def until(look: Callable[[], T | None], what: str, seconds: float = PATIENCE) -> T:
    """What `look` gives as soon as it is truthy. Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)
    return found


def step(run: Sequence[str] | str | None = None, **more: Any) -> dict[str, Any]:
    """A deploy step of the ticket; a string is shell text."""
    kind = {"shell": run} if isinstance(run, str) else {"run": None if run is None else list(run)}
    return {"name": "step", "phase": "deploy", "timeout": 60.0, "grace": 5.0, **kind, **more}


class Run:
    """One run folder and, once started, its runner."""

    def __init__(self, folder: Path, ticket: dict[str, Any]) -> None:
        self.folder = folder
        self.dir = str(folder)
        self.ticket = ticket
        self.deployment: str = ticket["deployment"]
        self.process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        secrets: Mapping[str, str] | None = None,
        *,
        stdin: bytes | None = None,
        through: Sequence[str] = (),
        python: str = PYTHON,
    ) -> Run:
        """`through` is a command that starts the runner in its turn, with fewer rights."""
        with (self.folder / "runner.err").open("ab") as errors:
            self.process = subprocess.Popen(
                [*through, *handover.command(python, self.dir, 1)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd="/",
                env={},
                start_new_session=True,
            )
        assert self.process.stdin is not None
        with self.process.stdin as pipe:
            pipe.write(handover.encode(secrets or {}) if stdin is None else stdin)
        return self

    def wait(self, seconds: float = 60.0) -> dict[str, Any]:
        """The content of end.json, after a good exit."""
        code = self.exit_code(seconds)
        assert code == 0, self.errors()
        end = spool.read_end(self.dir, 1)
        assert end is not None
        return end

    def exit_code(self, seconds: float = 60.0) -> int:
        assert self.process is not None
        return self.process.wait(seconds)

    def errors(self) -> str:
        return (self.folder / "runner.err").read_text()

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        return [event for event in spool.read_events(self.dir, 0) if name in (None, event["event"])]

    def until_event(self, name: str) -> dict[str, Any]:
        return until(lambda: self.events(name), name)[0]

    def log(self) -> bytes:
        return b"".join(chunk.body for chunk in self.chunks())

    def chunks(self) -> list[spool.LogChunk]:
        found: list[spool.LogChunk] = []
        next_line = 0
        while chunks := spool.read_log(self.dir, next_line, 1 << 20):
            found += chunks
            next_line = chunks[-1].first + chunks[-1].lines
        return found

    def until_log(self, text: bytes) -> None:
        until(lambda: text in self.log(), f"{text!r} in the log")

    def cancel(self) -> None:
        assert self.process is not None
        spool.request_cancel(self.dir)
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """As by the out-of-memory killer."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)

    def processes(self) -> list[int]:
        """What carries the deployment's tag, background or not."""
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
        return [pid for pid in pids if processes.variable(pid, processes.TAG) == self.deployment]

    def clean(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for pid in self.processes():
            processes.send(pid, signal.SIGKILL)


class Lab:
    """Makes runs below one folder; ends all that they began."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._runs: list[Run] = []

    def run(self, *steps: Mapping[str, Any], **more: Any) -> Run:
        """A run with a ticket of its own, not yet started."""
        deployment = str(uuid.uuid4())
        folder = self.folder / deployment
        folder.mkdir(mode=0o700)
        ticket = {
            "deployment": deployment,
            "epoch": 1,
            "lease": str(self.folder / f"{deployment}.lock"),
            "cgroup": None,
            "checkout": None,
            "grace": 5.0,
            "env": {"PATH": PATH, "LANG": "C.UTF-8"},
            "limits": {},
            "outputs": {},
            "steps": [{"index": number, **step} for number, step in enumerate(steps)],
            **more,
        }
        spool.write_ticket(str(folder), ticket)
        run = Run(folder, ticket)
        self._runs.append(run)
        return run

    def start(self, *steps: Mapping[str, Any], secrets: Mapping[str, str] | None = None, **more: Any) -> Run:
        return self.run(*steps, **more).start(secrets)

    def end(self, *steps: Mapping[str, Any], secrets: Mapping[str, str] | None = None, **more: Any) -> Run:
        """A run that is over."""
        run = self.start(*steps, secrets=secrets, **more)
        run.wait()
        return run

    def clean(self) -> None:
        for run in self._runs:
            run.clean()
