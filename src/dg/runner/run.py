"""One run from its ticket to its end: refuses what is void, runs the steps in order, says how it ended."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Mapping
from typing import Any

from dg.runner import checkout, handover, lease, processes, spool, ticket
from dg.runner.cancel import Cancel, Doorbell
from dg.runner.cgroups import Group
from dg.runner.child import Program
from dg.runner.handover import Handed
from dg.runner.journal import Journal, Reserve
from dg.runner.log import LogWriter
from dg.runner.outcome import Outcome, ended
from dg.runner.place import Place
from dg.runner.processes import Family
from dg.runner.steps import Steps
from dg.runner.supervise import Supervisor, Terms
from dg.runner.ticket import Step, Ticket

EXIT_BAD_TICKET = 65
EXIT_DISK_FULL = 73
EXIT_NO_HANDOVER = 74
EXIT_REFUSED = 75
_LEASE_SECONDS = 5.0
_CLOSED = "secret_failed"
"""Why a run ends that has no secrets: whatever its steps are for, they would work with wrong ones."""


def main(argv: list[str]) -> int:
    """Run RUN_DIR as EPOCH. Returns 0 when the run came to an end of any kind, else why it did not begin:
    74 the secrets did not arrive whole; 75 the lease is held, or the ticket void or another epoch's; 65 the
    ticket is malformed; 73 the disk has no room to record the run."""
    run_dir, epoch = argv[0], int(argv[1])
    doorbell = Doorbell()  # first of all: from here on a signal does not kill
    handed = handover.read(0)
    if handed is None:
        return _refuse(EXIT_NO_HANDOVER, "the secrets did not arrive whole")
    missing = _isolate()
    raw = spool.read_json(run_dir, spool.TICKET)
    lease_fd = lease.take_within(raw["lease"], _LEASE_SECONDS) if raw and "lease" in raw else None
    if lease_fd is None:
        return _refuse(EXIT_REFUSED, "the ticket is void or its lease is held")
    try:
        _sign(lease_fd, run_dir, epoch)
    except OSError as error:
        return _refuse(EXIT_DISK_FULL, f"the lease cannot be signed: {error.strerror}")
    try:
        order = _read_ticket(run_dir, epoch, handed.secrets)
    except ValueError as error:
        return _refuse(EXIT_BAD_TICKET, str(error))
    if order is None:
        return _refuse(EXIT_REFUSED, "the ticket is void, another epoch's or used")
    reserve = Reserve(run_dir)
    if not reserve.held:
        return _refuse(EXIT_DISK_FULL, "the disk has no room to record the run")
    Run(run_dir, order, handed, lease_fd, reserve, doorbell, missing).execute()
    return 0


class Verdict:
    """How the run ends. The first thing that goes wrong decides; what follows is only logged."""

    def __init__(self) -> None:
        self.outcome = "success"
        self.reason: str | None = None
        self.step: int | None = None
        self.detail = "every step succeeded"

    def decide(self, reason: str, step: int | None, detail: str) -> None:
        if self.outcome == "success":
            self.outcome = "cancelled" if reason == "cancelled" else "failed"
            self.reason, self.step, self.detail = reason, step, detail


class Run:
    """The run of one ticket, by the process that holds its lease."""

    def __init__(
        self,
        run_dir: str,
        order: Ticket,
        handed: Handed,
        lease_fd: int,
        reserve: Reserve,
        doorbell: Doorbell,
        missing: list[str],
    ) -> None:
        self._run_dir = run_dir
        self._ticket = order
        self._group = Group.of(order.cgroup, order.deployment)
        if self._group and not self._group.make():
            self._group = None
            missing.append("cgroup2")
        self._missing = missing
        self._journal = Journal(run_dir, reserve)
        self._log = LogWriter(run_dir, order.limits, reserve)
        self._cancel = Cancel(run_dir, on_request=lambda: self._journal.append("cancelling"))
        family = Family(order.deployment, self._group, subreaper="prctl" not in missing)
        self._supervisor = Supervisor(family, doorbell, self._cancel)
        self._place = Place(run_dir, order, self._group)
        self._handed = handed
        self._lease = lease_fd
        self._verdict = Verdict()
        self._outputs = dict(order.outputs)
        self._touched = False
        self._left = 0

    def execute(self) -> None:
        pid = os.getpid()
        start = processes.start_time(pid)
        self._journal.append("started", pid=pid, start_time=start, epoch=self._ticket.epoch)
        if self._missing:
            self._journal.append("degraded", missing=self._missing)
        self._steps = self._with_secrets()
        cwd = self._check_out()
        for step in self._ticket.steps:
            self._consider(step, cwd)
        if self._cancel.noticed:
            self._verdict.decide("cancelled", None, "cancelled after its last step")
        self._end()

    # --- steps

    def _consider(self, step: Step, cwd: str) -> None:
        if self._cancel.requested(now=True):
            self._verdict.decide("cancelled", step.number, f"cancelled before step `{step.name}`")
        why = self._skip_reason(step)
        if why:
            self._journal.append("step_skipped", index=step.number, why=why)
            return
        self._touched |= step.phase == "deploy"
        self._journal.append("step_started", index=step.number)
        begun = time.monotonic()
        outcome = self._steps.run(step, cwd, self._outputs, cancellable=not self._cancel.noticed)
        self._record(step, outcome, time.monotonic() - begun)

    def _skip_reason(self, step: Step) -> str | None:
        if self._verdict.reason == _CLOSED:
            return "a secret could not be opened"
        if self._cancel.noticed:
            return None if step.when == "always" else "the run was cancelled"
        if self._verdict.outcome != "success":
            return None if step.when in ("failure", "always") else "an earlier step failed"
        return "no step failed" if step.when == "failure" else None

    def _record(self, step: Step, outcome: Outcome, seconds: float) -> None:
        self._outputs.update(outcome.outputs)
        self._left += outcome.left
        self._journal.append(
            "step_ended",
            index=step.number,
            ok=outcome.ok,
            code=outcome.code,
            signal=outcome.signal,
            reason=outcome.reason,
            detail=outcome.detail,
            leftovers=outcome.leftovers,
            seconds=round(seconds, 3),
            outputs=outcome.outputs,
        )
        if outcome.reason:
            # A step that fails while a cancel waits for it does not turn the cancel into a failure.
            reason = "cancelled" if self._cancel.noticed else outcome.reason
            self._verdict.decide(reason, step.number, outcome.detail)

    # --- before and after

    def _with_secrets(self) -> Steps:
        """The steps, which know every secret; what cannot be opened ends the run before it began."""
        secrets = self._opened() if self._handed.opener else self._handed.secrets
        place = self._place
        return Steps(self._ticket, secrets, self._supervisor, self._log, place=place, lease=self._lease)

    def _opened(self) -> Mapping[str, str]:
        # Costs a start more than all else here, and few runs need it.
        from dg.runner import opening

        try:
            return opening.open_all(self._handed, self._ticket.deployment)
        except opening.CannotOpen as error:
            self._verdict.decide(_CLOSED, None, str(error))
            return {}

    def _check_out(self) -> str:
        """The folder in which steps run: the commit's files, or an empty one."""
        order = self._ticket.checkout
        wanted = self._verdict.outcome == "success" and not self._cancel.requested(now=True)
        if order is not None and wanted:
            self._journal.append("checkout_started")
            begun = time.monotonic()
            problem = self._git(order)
            self._journal.append(
                "checkout_ended", seconds=round(time.monotonic() - begun, 3), ok=not problem, error=problem
            )
            if not problem:
                return order.work
            self._verdict.decide("cancelled" if self._cancel.noticed else "checkout_failed", None, problem)
        return self._empty_folder()

    def _empty_folder(self) -> str:
        try:
            self._place.make()
            os.makedirs(self._place.work, mode=0o700, exist_ok=True)
        except OSError as error:
            self._verdict.decide(
                "checkout_failed", None, f"there is no folder for the steps: {error.strerror or error}"
            )
            return self._run_dir
        return self._place.work

    def _git(self, order: ticket.Checkout) -> str | None:
        """Why the checkout failed, or None."""
        env, deadline = self._ticket.env, time.monotonic() + checkout.TIMEOUT
        try:
            self._place.make()
            clone = checkout.clone(order, env, self._run_dir, whole=self._place.outside)
            problem = self._run_git(clone, order, deadline)
            return problem or self._run_git(checkout.fill(order, env), order, deadline)
        except OSError as error:
            return f"the checkout could not start: {error.strerror or error}"
        finally:
            self._log.end_step()

    def _run_git(self, program: Program, order: ticket.Checkout, deadline: float) -> str | None:
        terms = Terms(deadline - time.monotonic(), None, self._ticket.grace)
        result = self._steps.run_program(program, terms, self._place.for_checkout())
        self._left += result.left
        if result.stopped:
            return f"the checkout of {order.commit} was stopped: {result.stopped}"
        return (
            None
            if result.code == 0
            else f"git {ended(result)} at the checkout of {order.commit}; see the log"
        )

    def _end(self) -> None:
        self._left = max(self._left, self._supervisor.clear(self._ticket.grace))
        if self._group:
            self._group.remove()
        verdict = self._verdict
        detail = verdict.detail
        if self._left:
            detail += f"; {self._left} processes are left"
        end: dict[str, Any] = {
            "t": time.time_ns() // 1000,
            "epoch": self._ticket.epoch,
            "outcome": verdict.outcome,
            "reason": verdict.reason,
            "step": verdict.step,
            "detail": detail,
            "touched": self._touched,
            "outputs": self._outputs,
            "processes_left": self._left,
            "log_lines": self._log.lines,
            "log_sha256": self._log.sha256,
        }
        self._journal.end(end, make_room=self._log.drop_oldest)


def _isolate() -> list[str]:
    """Keep what this process knows to itself; returns what the machine lacks for it."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0, inheritable=False)
    os.close(null)
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Without it a step of the same user could read the secrets of other steps out of this process's memory.
    hidden = processes.prctl(processes.SET_DUMPABLE, 0)
    adopts = processes.prctl(processes.SET_CHILD_SUBREAPER, 1)
    found = processes.capabilities()
    missing = [name for name in ("proc", "children") if not found[name]]
    return missing if hidden and adopts else ["prctl", *missing]


def _sign(fd: int, run_dir: str, epoch: int) -> None:
    """Sign before the ticket is read: the server voids it first and looks for a name after.

    So whichever of the two comes second sees what the other did.
    """
    pid = os.getpid()
    lease.sign(fd, lease.Holder(os.path.basename(run_dir), pid, processes.start_time(pid), epoch))


def _read_ticket(run_dir: str, epoch: int, secrets: Mapping[str, str]) -> Ticket | None:
    """The ticket as it is now that the lease is ours: the server voids it before it judges a silent lane.

    None when this run must not begin, or has begun before. Raises ValueError.
    """
    raw = spool.read_json(run_dir, spool.TICKET)
    if raw is None or raw.get("void") or raw.get("epoch") != epoch:
        return None
    if any(
        event["event"] == "started" and event["epoch"] == epoch for event in spool.read_events(run_dir, 0)
    ):
        return None
    order = ticket.parse(raw)
    lacking = {name for step in order.steps for name in step.secrets} - set(secrets)
    if lacking:
        raise ValueError(f"these secrets were not handed over: {', '.join(sorted(lacking))}")
    return order


def _refuse(code: int, why: str) -> int:
    with contextlib.suppress(OSError):  # whoever reads it, on whatever full disk
        os.write(2, f"dg runner: {why}\n".encode())
    return code
