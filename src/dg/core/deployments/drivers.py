"""Runners as the server sees them: starting one, reading its run folder, and clearing up after a dead one.

The server never owns a step's pipe. A runner is a process of its own; they share the folder `runs/<id>`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dg.core.deployments.models import Chunk, News, Remains
from dg.core.errors import Invalid, Unavailable
from dg.runner import abilities, handover, lease, processes, spool
from dg.runner.abilities import Abilities
from dg.runner.standings import Standing

_READ_BYTES = 1 << 20
_WORK = ("work", "tmp")
"""Folders of a run that only its steps need."""
_AREAS = Path("/var/tmp/dg-0")  # noqa: S108 - a runner refuses one that others made or can write to
_UNSIGNED_SECONDS = 10.0
"""How long a runner may take from taking the lease to reading its ticket."""
_EXIT_SECONDS = 5.0
"""How long a runner may take from its last word to its exit."""


class _Runner(subprocess.Popen[bytes]):
    """Outlives this process by design, so there is nothing to warn of when it is let go."""

    def __del__(self) -> None:
        return


class Run:
    """One run and the process that does it, started by this server or found alive."""

    def __init__(self, folder: Path, lease_file: Path, epoch: int, child: _Runner | None = None) -> None:
        self._folder = str(folder)
        self._lease = str(lease_file)
        self._epoch = epoch
        self._child = child

    async def news(self, after_event: int, next_line: int) -> News:
        """What came after event `after_event` and from line `next_line` on."""
        return await asyncio.to_thread(self._news, after_event, next_line)

    async def cancel(self) -> None:
        """Ask the runner to stop its step and end; safe to repeat."""
        await asyncio.to_thread(self._cancel)

    async def asked_probes(self) -> frozenset[str]:
        """The probes of the environment that its steps ask for."""
        return await asyncio.to_thread(spool.asked_probes, self._folder)

    async def tell(self, now: int, standings: Mapping[str, Standing]) -> None:
        """Say how those stand at `now` (microseconds). Raises OSError."""
        content = {name: each._asdict() for name, each in standings.items()}
        await asyncio.to_thread(spool.write_probes, self._folder, now, content)

    def alive(self) -> bool:
        """True while its runner lives; one that this server started also before it holds the lease."""
        if self._child is not None:
            return self._child.poll() is None
        return _holds(self._folder, self._lease)

    def _news(self, after_event: int, next_line: int) -> News:
        # Whether it lives and how it ended are read first: then what follows is complete when they say so.
        alive = self.alive()
        end = spool.read_end(self._folder, self._epoch)
        return News(
            events=spool.read_events(self._folder, after_event),
            chunks=_chunks(self._folder, next_line),
            end=end,
            alive=alive,
        )

    def _cancel(self) -> None:
        spool.request_cancel(self._folder)
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
        elif holder := _living_holder(self._folder, self._lease):
            processes.send(holder.pid, signal.SIGTERM)


class Runners:
    """Starts runners and finds those that a server before this one started."""

    def __init__(
        self,
        runs: Path,
        leases: Path,
        python: str | None,
        cgroup: str | None,
        kill_grace: float,
        areas: Path | None = None,
        opener: handover.Opener | None = None,
    ) -> None:
        self._runs = runs
        self._leases = leases
        self._python = python or sys.executable
        self._cgroup = cgroup
        self._grace = kill_grace
        self._areas = areas or _AREAS.with_name(f"dg-{os.geteuid()}")
        self._opener = opener
        self._abilities: Abilities | None = None
        self._children: dict[str, _Runner] = {}

    def folder(self, deployment_id: str) -> Path:
        """Where a run keeps its ticket, events and log."""
        return self._runs / deployment_id

    def area(self, deployment_id: str) -> Path:
        """Where steps of other users work: outside the home, of which they reach nothing."""
        return self._areas / deployment_id

    async def abilities(self) -> Abilities:
        """What this machine lets a runner do to a step; found out once.

        Raises Unavailable when it cannot be found out.
        """
        if self._abilities is None:
            try:
                self._abilities = await asyncio.to_thread(abilities.ask, self._python, self._cgroup)
            except (OSError, ValueError) as error:
                raise Unavailable(
                    f"what this machine lets a step do cannot be found out: {error}", reason="runner"
                ) from error
        return self._abilities

    def lease_file(self, service: str, environment: str) -> Path:
        """The file whose kernel lock is the right to touch the lane."""
        return self._leases / f"{service}.{environment}.lock"

    async def launch(
        self, lane: tuple[str, str], ticket: Mapping[str, Any], secrets: Mapping[str, str]
    ) -> Run:
        """Start the runner of `ticket` in a fresh run folder; secrets go over its standard input alone.

        Raises Invalid when the secrets are too large to hand over, or sealed and nothing opens them.
        """
        try:
            handed = handover.encode(secrets, self._opener)
        except ValueError as error:
            raise Invalid(str(error)) from None
        return await asyncio.to_thread(self._launch, lane, dict(ticket), handed)

    def _launch(self, lane: tuple[str, str], ticket: dict[str, Any], handed: bytes) -> Run:
        folder, lease_file = self.folder(ticket["deployment"]), self.lease_file(*lane)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        ticket |= {"lease": str(lease_file), "cgroup": self._cgroup}
        spool.write_ticket(str(folder), ticket)
        argv = handover.command(self._python, str(folder), ticket["epoch"])
        errors = os.open(folder / "runner.err", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            child = _Runner(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
                start_new_session=True,
            )
        finally:
            os.close(errors)
        self._children[ticket["deployment"]] = child
        assert child.stdin is not None  # noqa: S101 - it was asked for
        try:
            child.stdin.write(handed)
            child.stdin.close()
        except BrokenPipeError:
            # It is gone already; the run's news will say so.
            pass
        return Run(folder, lease_file, ticket["epoch"], child)

    async def find(self, deployment_id: str, lane: tuple[str, str]) -> Run | None:
        """The live run of a deployment that another server started; None when its runner is gone."""
        return await asyncio.to_thread(self._find, deployment_id, lane)

    def _find(self, deployment_id: str, lane: tuple[str, str]) -> Run | None:
        folder, lease_file = self.folder(deployment_id), self.lease_file(*lane)
        epoch = _ticket_epoch(str(folder))
        if epoch is None:
            return None
        run = Run(folder, lease_file, epoch, self._children.get(deployment_id))
        ended = spool.read_end(str(folder), epoch) is not None
        return run if ended or run.alive() else None

    def left(self, deployment_id: str, lane: tuple[str, str]) -> Run:
        """What a run whose runner is gone still has to tell, but for its end."""
        return Run(self.folder(deployment_id), self.lease_file(*lane), epoch=0)

    async def free(self, lane: tuple[str, str]) -> bool:
        """Whether nobody holds the lane's lease."""
        return not await asyncio.to_thread(lease.held, str(self.lease_file(*lane)))

    async def clear(self, deployment_id: str, lane: tuple[str, str]) -> Remains | None:
        """Make sure that nothing of a dead run lives or can begin, and say how far it had come.

        Voids the ticket, so that a runner that is still starting finds nothing to do, and kills what a dead
        one left behind. None when its runner turns out to be alive.
        """
        return await asyncio.to_thread(self._clear, deployment_id, lane)

    def _clear(self, deployment_id: str, lane: tuple[str, str]) -> Remains | None:
        folder, lease_file = str(self.folder(deployment_id)), str(self.lease_file(*lane))
        held = lease.take(lease_file)
        try:
            if held is None and _living_holder(folder, lease_file):
                return None
            if Path(folder).is_dir():
                spool.void_ticket(folder)
            if held is None and _living_holder(folder, lease_file):
                # It signed in between, and perhaps read the ticket before it was void.
                return None
            ticket = spool.read_json(folder, spool.TICKET) or {}
            left = processes.kill_tagged(deployment_id, ticket.get("grace", self._grace), self._cgroup)
            if held is None and not left:
                # A runner that had not signed yet finds its ticket void and gives the lease back.
                held = lease.take_within(lease_file, _UNSIGNED_SECONDS)
        finally:
            if held is not None:
                lease.release(held)
        epoch = ticket.get("epoch")
        self._reap(deployment_id)
        events = spool.read_events(folder, 0)
        return Remains(
            began=held is None or any(event["event"] == "step_started" for event in events),
            events=events,
            end=None if epoch is None else spool.read_end(folder, epoch),
            processes_left=left,
        )

    async def with_work(self) -> set[str]:
        """The deployments whose runs still have a work tree or temporary files."""
        return await asyncio.to_thread(
            lambda: {path.parent.name for name in _WORK for path in self._runs.glob(f"*/{name}")}
        )

    async def discard_work(self, deployment_id: str) -> None:
        """Remove the work tree of an ended run; what it reported stays."""
        await asyncio.to_thread(self._reap, deployment_id)
        folder = self.folder(deployment_id)
        for path in (self.area(deployment_id), *(folder / name for name in _WORK)):
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)

    async def discard(self, deployment_id: str) -> None:
        """Remove a run's folder with its work tree."""
        await asyncio.to_thread(shutil.rmtree, self.folder(deployment_id), ignore_errors=True)

    def _reap(self, deployment_id: str) -> None:
        """Take leave of a runner that this server started, so that no zombie stays: it ends by itself."""
        if child := self._children.pop(deployment_id, None):
            try:
                child.wait(_EXIT_SECONDS)
            except subprocess.TimeoutExpired:
                self._children[deployment_id] = child


def _chunks(folder: str, next_line: int) -> list[Chunk]:
    found = spool.read_log(folder, next_line, _READ_BYTES)
    return [Chunk(chunk.first, chunk.step, chunk.lines, chunk.body) for chunk in found]


def _ticket_epoch(folder: str) -> int | None:
    ticket = spool.read_json(folder, spool.TICKET)
    return None if ticket is None else ticket.get("epoch")


def _living_holder(folder: str, lease_file: str) -> lease.Holder | None:
    holder = lease.holder(lease_file)
    if holder is None or holder.deployment != Path(folder).name:
        return None
    return holder if processes.alive(holder.pid, holder.start_time) else None


def _holds(folder: str, lease_file: str) -> bool:
    return lease.held(lease_file) and _living_holder(folder, lease_file) is not None
