"""Runs one process of a step to its end: copies its output, keeps its times, and leaves no process behind."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from signal import SIGTERM
from typing import NamedTuple, Protocol

from dg.runner import processes
from dg.runner.cancel import LOOK_SECONDS, Cancel, Doorbell
from dg.runner.child import Child
from dg.runner.processes import Family

BLOCK_BYTES = 65_536
_SETTLE_SECONDS = 0.2
_KILL_SECONDS = 10.0
_SCAN_SECONDS = 0.02
_DRAIN_BYTES = 16 << 20


class Output(Protocol):
    """Where the bytes go."""

    def write(self, data: bytes) -> None: ...

    def due(self) -> float | None:
        """Seconds until `flush` wants to be called."""
        ...

    def flush(self) -> None: ...


class Terms(NamedTuple):
    """Seconds until the process is stopped, in all and without output; and between TERM and KILL."""

    timeout: float
    idle: float | None
    grace: float
    cancellable: bool = True
    background: str | None = None


class Result(NamedTuple):
    """How it went. `stopped` is None, `timeout`, `idle` or `cancelled`; `leftovers` are what its leader left
    running, `spared` those of a background step, which go on, `left` how many could not be killed."""

    code: int | None
    signal: int | None
    stopped: str | None
    leftovers: list[str]
    spared: list[str]
    left: int


class Supervisor:
    """What all processes of one run have in common."""

    def __init__(self, family: Family, doorbell: Doorbell, cancel: Cancel) -> None:
        self.family = family
        self.doorbell = doorbell
        self.cancel = cancel

    def run(self, child: Child, terms: Terms, output: Output) -> Result:
        """Blocks until `child` and, but for background, all it began are gone."""
        return _Supervision(self, child, terms, output).run()

    def clear(self, grace: float) -> int:
        """End whatever of the run is still there; returns how many could not be killed."""
        if not self.family.find(thorough=True):
            return 0
        return _Supervision(self, None, Terms(0.0, None, grace), _Nowhere()).run().left

    def pause(self, seconds: float) -> None:
        """Wait, but no longer than until the next signal or the next look for a cancel."""
        if select.select([self.doorbell.fd], [], [], max(0.0, min(seconds, LOOK_SECONDS)))[0]:
            self.doorbell.clear()
            self.cancel.requested(now=True)


class _Supervision:
    """One call of `run`. A phase is the method that looks at the processes each turn; None: it is over."""

    def __init__(self, supervisor: Supervisor, child: Child | None, terms: Terms, output: Output) -> None:
        self._family = supervisor.family
        self._doorbell = supervisor.doorbell
        self._cancel = supervisor.cancel
        self._child = child
        self._terms = terms
        self._output = output
        self._poll = select.poll()
        self._poll.register(self._doorbell.fd, select.POLLIN)
        self._phase: Callable[[float], None] | None = None
        self._until = 0.0
        self._scan_at = 0.0
        self._silent = False
        self._told: set[int] = set()
        self._status: int | None = None
        self._stopped: str | None = None
        self._leftovers: list[str] = []
        self._spared: list[str] = []
        self._left = 0
        self._begun = self._heard = time.monotonic()

    def run(self) -> Result:
        if self._child:
            self._family.begin(self._child.pid, self._terms.background)
            self._poll.register(self._child.output, select.POLLIN)
            self._phase = self._running
        else:
            self._terminate()
        while self._phase:
            self._wait()
            self._reap()
            self._look(self._phase, time.monotonic())
        if self._child:
            self._drain(self._child.output)
        return self._result()

    # --- one turn

    def _look(self, phase: Callable[[float], None], now: float) -> None:
        """Looking at all processes costs more than a block of output: only so often, however much comes."""
        if phase != self._running:
            if now < self._scan_at:
                return
            self._scan_at = now + _SCAN_SECONDS
        phase(now)

    def _wait(self) -> None:
        pause = LOOK_SECONDS if self._phase == self._running else _SCAN_SECONDS
        due = self._output.due()
        for fd, _ in self._poll.poll(1000 * min(pause, pause if due is None else due)):
            if fd == self._doorbell.fd:
                self._doorbell.clear()
                self._cancel.requested(now=True)
            else:
                self._read(fd)
        if self._output.due() == 0:
            self._output.flush()

    def _read(self, fd: int) -> bool:
        """Copy one block; False when there is none now, or none any more."""
        try:
            data = os.read(fd, BLOCK_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._hear_no_more(fd)
            return False
        self._heard = time.monotonic()
        self._output.write(data)
        return True

    def _hear_no_more(self, fd: int) -> None:
        if not self._silent:
            self._poll.unregister(fd)
        self._silent = True

    def _reap(self) -> None:
        """Collect every child that ended, also those that became ours because their parent ended first."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if self._child and pid == self._child.pid:
                self._status = status

    def _drain(self, fd: int) -> None:
        """What is still in the pipe; no more than a pipe holds, as a background step may go on writing."""
        for _ in range(_DRAIN_BYTES // BLOCK_BYTES):
            if not self._read(fd):
                break
        os.close(fd)

    # --- phases

    def _running(self, now: float) -> None:
        idle = self._terms.idle
        wanted = self._cancel.requested()
        if self._status is not None:
            self._leader_ended(now)
        elif wanted and self._terms.cancellable:
            self._stop("cancelled")
        elif now - self._begun >= self._terms.timeout:
            self._stop("timeout")
        elif idle is not None and now - self._heard >= idle:
            self._stop("idle")

    def _leader_ended(self, now: float) -> None:
        if self._terms.background is not None:
            self._spared = [name for name in map(processes.describe, self._family.spare()) if name]
            self._phase = None
        elif not self._family.find():
            self._phase = None
        else:
            # Often these are about to end by themselves, such as the `tee` of a process substitution.
            self._until = now + _SETTLE_SECONDS
            self._phase = self._settling

    def _settling(self, now: float) -> None:
        found = self._family.find()
        if not found:
            self._phase = None
        elif now >= self._until:
            self._leftovers = [name for name in map(processes.describe, found) if name]
            self._terminate()

    def _stop(self, why: str) -> None:
        self._stopped = why
        self._terminate()

    def _terminate(self) -> None:
        self._until = time.monotonic() + self._terms.grace
        self._told = set()
        self._phase = self._terminating

    def _terminating(self, now: float) -> None:
        found = self._find(thorough=not self._told)
        if not found:
            self._phase = None
        elif now >= self._until:
            self._until = now + _KILL_SECONDS
            self._phase = self._killing
        for pid in found:
            if pid not in self._told:
                processes.send(pid, SIGTERM)
        self._told.update(found)

    def _killing(self, now: float) -> None:
        found = self._find(thorough=True)
        self._family.kill(found)
        if not found or now >= self._until:
            self._left = len(found)
            self._phase = None

    def _find(self, *, thorough: bool) -> list[int]:
        """Nobody is believed to be left before the whole machine was looked at."""
        return self._family.find(thorough=thorough) or self._family.find(thorough=True)

    def _result(self) -> Result:
        code = None if self._status is None else os.waitstatus_to_exitcode(self._status)
        exit_code, number = (code, None) if code is None or code >= 0 else (None, -code)
        return Result(exit_code, number, self._stopped, self._leftovers, self._spared, self._left)


class _Nowhere:
    """Output of nobody."""

    def write(self, data: bytes) -> None:
        """Nothing writes."""

    def due(self) -> float | None:
        return None

    def flush(self) -> None:
        """Nothing is kept."""
