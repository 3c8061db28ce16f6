"""Begins one process of a step in a session of its own, with nothing of the runner but what it is given."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, NoReturn

from dg.runner import namespaces, processes
from dg.runner.accounts import Account
from dg.runner.cgroups import Group

_PIPE_BYTES = 1 << 20


class Child(NamedTuple):
    """A process just begun and the readable end of its output (stdout and stderr together, not blocking)."""

    pid: int
    output: int


class Confinement(NamedTuple):
    """What the process may use: its group, its rlimits, another user's rights, the network or not."""

    group: Group | None = None
    rlimits: Mapping[int, int] = {}
    account: Account | None = None
    network: bool = True


class Program(NamedTuple):
    """What to execute: `argv[0]` is looked up in the PATH of `env`."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str

    def execute(self) -> NoReturn:
        os.chdir(self.cwd)
        os.execvpe(self.argv[0], list(self.argv), dict(self.env))  # noqa: S606 -- the step's own command


def spawn(target: Program | Callable[[], int], *, confinement: Confinement, lease: int | None) -> Child:
    """Begin a process that executes a program, or calls a function that returns the exit code.

    `lease` stays open in it and in all it begins. Raises OSError with the reason why it did not start.
    """
    if not confinement.network and os.geteuid() != 0 and isinstance(target, Program):
        target = target._replace(argv=namespaces.wrap(target.argv))
    output, output_end = os.pipe()
    report, report_end = os.pipe()
    runner = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become_child(target, runner, output_end, report_end, confinement, lease)
    os.close(output_end)
    os.close(report_end)
    with open(report, "rb") as file:
        problem = file.read().decode(errors="replace")
    if problem:
        os.close(output)
        os.waitpid(pid, 0)
        raise OSError(problem)
    os.set_blocking(output, False)
    with contextlib.suppress(OSError, AttributeError):  # a bigger pipe is only faster
        fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return Child(pid, output)


def _become_child(
    target: Program | Callable[[], int],
    runner: int,
    output: int,
    report: int,
    confinement: Confinement,
    lease: int | None,
) -> NoReturn:
    code = 127
    try:
        _isolate(runner, output, confinement, lease)
        if isinstance(target, Program):
            target.execute()
        os.close(report)
        code = target()
    except (OSError, ValueError, MemoryError) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        with contextlib.suppress(OSError):
            os.write(report, text.encode()[:512])
    finally:
        # Nothing of the runner's own clean-up may run here, whatever was raised.
        os._exit(code)


def _isolate(runner: int, output: int, confinement: Confinement, lease: int | None) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    _confine(confinement)
    # After the change of user, which forgets it.
    processes.prctl(processes.SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != runner:
        os._exit(127)
    if lease is not None:
        os.set_inheritable(lease, True)
    _reset_signals()
    # Last of all: they bind this process too, which is bigger than the step's program may be.
    for kind, value in confinement.rlimits.items():
        hard = resource.getrlimit(kind)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))


def _confine(confinement: Confinement) -> None:
    if confinement.group:
        confinement.group.join()
    if not confinement.network and os.geteuid() == 0:
        namespaces.leave_network()
    if confinement.account:
        confinement.account.become(output=1)


def _reset_signals() -> None:
    """Undo what the runner, and whoever started the server, set: ignored signals survive an exec."""
    signal.set_wakeup_fd(-1)
    for number in range(1, signal.NSIG):
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
