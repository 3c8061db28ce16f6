"""Runs one step: its environment, its process or check, its outputs and its part of the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from dg.runner import outputs, probe, processes, standings
from dg.runner.checks import Attempt, Tail, Watch, sentence
from dg.runner.child import Child, Confinement, Program, spawn
from dg.runner.log import LogWriter
from dg.runner.mask import Mask
from dg.runner.outcome import Outcome, ended, failure, of_process, seconds
from dg.runner.place import CannotConfine, Place
from dg.runner.supervise import Result, Supervisor, Terms
from dg.runner.ticket import Check, Step, Ticket


class MaskedLog:
    """The only way of a step's bytes to the disk."""

    def __init__(self, mask: Mask, log: LogWriter) -> None:
        self._mask = mask
        self._log = log

    def write(self, data: bytes) -> None:
        self._log.write(self._mask.feed(data))

    def due(self) -> float | None:
        return self._log.due()

    def flush(self) -> None:
        self._log.flush()

    def end(self) -> None:
        """After the last byte of a process."""
        self._log.write(self._mask.flush())

    def note(self, text: str) -> None:
        """A line of the runner's own; arguments of processes in it may hold a secret."""
        self._log.note(self._mask.text(text))


class Steps:
    """What the steps of one run have in common."""

    def __init__(
        self,
        ticket: Ticket,
        secrets: Mapping[str, str],
        supervisor: Supervisor,
        log: LogWriter,
        *,
        place: Place,
        lease: int,
    ) -> None:
        self._ticket = ticket
        self._secrets = secrets
        self._supervisor = supervisor
        self._mask = Mask(secrets)
        self._log = log
        self._output = MaskedLog(self._mask, log)
        self._place = place
        self._lease = lease

    def run(self, step: Step, cwd: str, known: Mapping[str, str], *, cancellable: bool) -> Outcome:
        """Blocks until the step is over and none of its processes is left, or it is said how many."""
        self._log.begin_step(step.number)
        try:
            step = _filled(step, known)
            confinement = self._place.confine(step, self._output.note)
            try:
                outcome = self._run(
                    step, confinement, cwd, known, cancellable=cancellable and step.cancel != "finish"
                )
                outcome = self._place.explain(step, confinement, outcome)
            finally:
                if confinement.group:
                    confinement.group.remove()
        except (outputs.UnknownOutput, CannotConfine, OSError) as error:
            text = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            outcome = failure(step, "step_failed", f"step `{step.name}` could not start: {text}")
        outcome = outcome._replace(detail=self._mask.text(outcome.detail))
        if not outcome.ok:
            self._log.note(outcome.detail)
        self._log.end_step()
        return outcome

    def run_program(
        self, program: Program, terms: Terms, confinement: Confinement, *, keep_lease: bool = True
    ) -> Result:
        """One process with its output in the log. Raises OSError when it cannot start."""
        child = spawn(program, confinement=confinement, lease=self._lease if keep_lease else None)
        result = self._supervisor.run(child, terms, self._output)
        self._output.end()
        for name in result.leftovers:
            self._output.note(f"killed what the step left running: {name}")
        for name in result.spared:
            self._output.note(f"goes on in the background: {name}")
        return result

    def _run(
        self, step: Step, confinement: Confinement, cwd: str, known: Mapping[str, str], *, cancellable: bool
    ) -> Outcome:
        path = self._place.outputs_file(step, confinement.account)
        env = self._environment(step, confinement, known, path)
        if step.check is not None:
            outcome = self._check(step, step.check, confinement, env, cwd, cancellable=cancellable)
        else:
            argv = step.run or ("/bin/sh", "-euc", step.shell or "")
            terms = self._terms(step, cancellable=cancellable)
            keep_lease = _holds_lease(step)
            result = self.run_program(Program(argv, env, cwd), terms, confinement, keep_lease=keep_lease)
            outcome = of_process(step, result)
        if not outcome.ok:
            return outcome
        found = {**step.output, **outputs.read(path, self._output.note)}
        return outcome._replace(outputs={name: self._mask.text(value) for name, value in found.items()})

    def _terms(self, step: Step, *, cancellable: bool) -> Terms:
        background = str(step.number) if step.background else None
        return Terms(step.timeout, step.idle, step.grace, cancellable, background)

    def _environment(
        self, step: Step, confinement: Confinement, known: Mapping[str, str], outputs_path: str
    ) -> dict[str, str]:
        account = confinement.account
        env = {
            **self._ticket.env,
            **(account.variables() if account else {}),
            **step.env,
            **{f"DG_OUTPUT_{name.upper()}": value for name, value in known.items()},
            **{name.upper(): self._secrets[name] for name in step.secrets},
            "DG_STEP": step.name,
            "DG_PHASE": step.phase,
            "DG_OUTPUTS": outputs_path,
            processes.TAG: self._ticket.deployment,
            "TMPDIR": self._place.temporary,
        }
        return {**env, processes.BACKGROUND: str(step.number)} if step.background else env

    def _check(
        self,
        step: Step,
        check: Check,
        confinement: Confinement,
        env: Mapping[str, str],
        cwd: str,
        *,
        cancellable: bool,
    ) -> Outcome:
        if check.probes is not None:
            return self._probes(step, check, check.probes, cancellable=cancellable)
        target: Program | Callable[[], int]
        if check.command is not None:
            target, grace = Program(check.command, env, cwd), step.grace
        else:
            probe.preload(check)
            target, grace = probe.attempt(check), 0.0
            # It is dg that asks, not the step.
            confinement = Confinement(confinement.group)
        lease = self._lease if _holds_lease(step) else None

        def attempt(timeout: float) -> Attempt:
            child = spawn(target, confinement=confinement, lease=lease)
            return self._attempt(check, child, Terms(timeout, None, grace, cancellable))

        return self._watch(step, check, attempt, cancellable=cancellable)

    def _probes(self, step: Step, check: Check, names: tuple[str, ...], *, cancellable: bool) -> Outcome:
        began = time.time_ns() // 1000

        def attempt(_: float) -> Attempt:
            return standings.look(self._place.run_dir, names, check.hold, began)

        # For how long they were healthy is looked at there: it goes on while no server says so.
        return self._watch(step, check._replace(hold=0.0), attempt, cancellable=cancellable)

    def _watch(
        self, step: Step, check: Check, attempt: Callable[[float], Attempt], *, cancellable: bool
    ) -> Outcome:
        cancel = self._supervisor.cancel
        return Watch(
            step,
            check,
            attempt=attempt,
            pause=self._supervisor.pause,
            cancelled=lambda: cancellable and cancel.requested(),
            report=self._report,
        ).run()

    def _attempt(self, check: Check, child: Child, terms: Terms) -> Attempt:
        tail = Tail()
        result = self._supervisor.run(child, terms, tail)
        subject, said = probe.subject(check), sentence(tail.data)
        if result.stopped == "timeout":
            text = f"{subject} did not finish within {seconds(round(terms.timeout, 3))}"
        elif check.command is None:
            text = said or f"{subject}: the attempt {ended(result)}"
        else:
            text = f"{subject} {ended(result)}" + (f": {said}" if said else "")
        good = result.stopped is None and result.code == 0
        printed = b"" if check.command is None else tail.data
        return Attempt(good, text, result.stopped, result.left, printed)

    def _report(self, attempt: Attempt) -> None:
        self._output.write(attempt.printed)
        self._output.end()
        self._output.note(attempt.sentence)
        self._output.flush()


def _holds_lease(step: Step) -> bool:
    """Whoever has the lease's descriptor can give the lane away, so no step of another user gets it."""
    return not step.background and step.user is None


def _filled(step: Step, known: Mapping[str, str]) -> Step:
    """The step with each `{outputs.NAME}` replaced. Raises outputs.UnknownOutput."""

    def fill(text: str) -> str:
        return outputs.fill(text, known)

    run = None if step.run is None else tuple(map(fill, step.run))
    output = {name: fill(value) for name, value in step.output.items()}
    check = step.check
    if check is not None:
        check = check._replace(
            http=None if check.http is None else fill(check.http),
            tcp=None if check.tcp is None else fill(check.tcp),
            command=None if check.command is None else tuple(map(fill, check.command)),
            contains=None if check.contains is None else fill(check.contains),
            headers={name: fill(value) for name, value in check.headers.items()},
        )
    return step._replace(run=run, output=output, check=check)
