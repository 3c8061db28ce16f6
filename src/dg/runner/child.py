"""Begins one process of a step in a session of its own, with nothing of the runner but what it is given."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, NoReturn

from dg.runner import processes
from dg.runner.cgroups import Group

_PIPE_BYTES = 1 << 20


class Child(NamedTuple):
    """A process just begun and the readable end of its output (stdout and stderr together, not blocking)."""

    pid: int
    output: int


class Program(NamedTuple):
    """What to execute: `argv[0]` is looked up in the PATH of `env`."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str

    def execute(self) -> NoReturn:
        os.chdir(self.cwd)
        os.execvpe(self.argv[0], list(self.argv), dict(self.env))  # noqa: S606 -- the step's own command


def spawn(target: Program | Callable[[], int], *, group: Group | None, lease: int | None) -> Child:
    """Begin a process that executes a program, or calls a function that returns the exit code.

    `lease` stays open in it and in all it begins. Raises OSError with the reason why it did not start.
    """
    output, output_end = os.pipe()
    report, report_end = os.pipe()
    runner = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become_child(target, runner, output_end, report_end, group, lease)
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
    group: Group | None,
    lease: int | None,
) -> NoReturn:
    code = 127
    try:
        _isolate(runner, output, group, lease)
        if isinstance(target, Program):
            target.execute()
        os.close(report)
        code = target()
    except (OSError, ValueError) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        with contextlib.suppress(OSError):
            os.write(report, text.encode()[:512])
    finally:
        # Nothing of the runner's own clean-up may run here, whatever was raised.
        os._exit(code)


def _isolate(runner: int, output: int, group: Group | None, lease: int | None) -> None:
    os.setsid()
    processes.prctl(processes.SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != runner:
        os._exit(127)
    if group:
        group.join()
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    if lease is not None:
        os.set_inheritable(lease, True)
    _reset_signals()


def _reset_signals() -> None:
    """Undo what the runner, and whoever started the server, set: ignored signals survive an exec."""
    signal.set_wakeup_fd(-1)
    for number in range(1, signal.NSIG):
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
