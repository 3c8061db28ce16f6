"""Where the steps of one run work, and what each of them may use while it does."""

from __future__ import annotations

import os
from collections.abc import Callable

from dg.runner.accounts import Account, Area, possible
from dg.runner.cgroups import Group
from dg.runner.child import Confinement
from dg.runner.limits import Kept, keep, size
from dg.runner.outcome import Outcome
from dg.runner.ticket import Step, Ticket

_KILLED = 9


class CannotConfine(Exception):
    """A step must not run, as what was asked for it cannot be had here; the text says what and why."""


class Place:
    """The folders of a run, outside the home where a step has another user, and its control group."""

    def __init__(self, run_dir: str, order: Ticket, group: Group | None) -> None:
        self._run_dir = run_dir
        self._required = order.limits_required
        self._group = group
        self._controllers = group.enable() if group else frozenset()
        self._area = Area(order.area) if order.area else None
        self._ours = os.path.join(run_dir, "tmp")
        self._before: dict[str, int] = {}
        self.work = self._area.work if self._area else os.path.join(run_dir, "work")
        self.temporary = self._area.temporary if self._area else self._ours
        # Also where it stays empty: a run folder that has one has something to clear up.
        os.makedirs(self._ours, mode=0o700, exist_ok=True)

    @property
    def run_dir(self) -> str:
        """Where server and runner meet."""
        return self._run_dir

    @property
    def outside(self) -> bool:
        """Whether the work tree stands outside the home, where it can borrow nothing of the home's."""
        return self._area is not None

    def make(self) -> None:
        """Raises OSError when there can be no folders outside the home."""
        if self._area:
            self._area.make()

    def outputs_file(self, step: Step, account: Account | None) -> str:
        """An empty file for the step's outputs. Raises OSError."""
        folder = self._area.outputs if self._area else self._ours
        path = os.path.join(folder, f"outputs-{step.number}")
        # Not blocking: a step before may have put a pipe in its place.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(path, flags, 0o600)
        try:
            if account:
                os.fchown(fd, account.uid, account.gid)
        finally:
            os.close(fd)
        return path

    def for_checkout(self) -> Confinement:
        """Raises OSError."""
        return Confinement(group=self._leaf("checkout"))

    def confine(self, step: Step, note: Callable[[str], None]) -> Confinement:
        """What `step` may use; `note` gets what holds less well than one may think.

        Raises CannotConfine, OSError.
        """
        account = self._account(step)
        kept = keep(step.limits, () if step.background else self._controllers, step.user)
        if kept.broken and self._required:
            raise CannotConfine(f"its limits cannot be kept: {'; '.join(kept.broken)}")
        for sentence in (*kept.notes, *(f"not limited: {sentence}" for sentence in kept.broken)):
            note(sentence)
        group = None if step.background else self._leaf(f"step-{step.number}")
        if group:
            _limit(group, kept)
            self._before = _counts(group)
        if self._area:
            self._area.give(account)
        return Confinement(group, kept.rlimits, account, step.network)

    def explain(self, step: Step, confinement: Confinement, outcome: Outcome) -> Outcome:
        """The outcome of a step that failed, with the limit that it ran into."""
        if outcome.ok or confinement.group is None:
            return outcome
        now = _counts(confinement.group)
        hit = {name for name, count in now.items() if count > self._before.get(name, 0)}
        detail = outcome.detail
        if "memory.events" in hit:
            limit = f"its memory limit of {size(step.limits.memory or 0)}"
            killed = outcome.signal == _KILLED and outcome.reason == "step_failed"
            detail += f" at {limit}" if killed else f"; it was killed at {limit}"
        if "pids.events" in hit:
            detail += f"; it reached its limit of {step.limits.processes} processes"
        return outcome._replace(detail=detail)

    def _account(self, step: Step) -> Account | None:
        if step.user is None:
            return None
        if not possible():
            raise CannotConfine(f"only a server that runs as root can run a step as the user {step.user}")
        try:
            return Account.named(step.user)
        except ValueError as error:
            raise CannotConfine(str(error)) from None

    def _leaf(self, name: str) -> Group | None:
        """A group of its own below the run's, which may have no processes itself when it limits others."""
        if self._group is None:
            return None
        leaf = self._group.below(name)
        if not leaf.make():
            raise OSError(f"the control group {leaf.path} cannot be made")
        return leaf


def _limit(group: Group, kept: Kept) -> None:
    for name, value in kept.values.items():
        group.write(name, value)
    for name, value in kept.if_present.items():
        try:
            group.write(name, value)
        except FileNotFoundError:
            continue


def _counts(group: Group) -> dict[str, int]:
    """How often the group ran into a limit that stops it."""
    return {
        "memory.events": group.tally("memory.events", "oom_kill"),
        "pids.events": group.tally("pids.events", "max"),
    }
