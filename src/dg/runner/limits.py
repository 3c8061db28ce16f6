"""How this machine keeps a step's limits: by its control group where it can, else by the kernel's rlimits.

The runner keeps them with it; the server asks it before a deployment is taken on.
"""

from __future__ import annotations

import resource
from collections.abc import Collection
from typing import NamedTuple

CPU_PERIOD = 100_000
"""Microseconds over which a share of CPU time is given."""


class StepLimits(NamedTuple):
    """What a step may use; None is no limit. Sizes in bytes, `cpu` in CPUs."""

    memory: int | None = None
    processes: int | None = None
    cpu: float | None = None
    file_size: int | None = None
    open_files: int | None = None


class Kept(NamedTuple):
    """`values` go into files of the step's group, those `if_present` where there is such a file; `rlimits`
    are set in its process. `notes` say what is kept less well, `broken` what not at all."""

    values: dict[str, str]
    if_present: dict[str, str]
    rlimits: dict[int, int]
    notes: tuple[str, ...]
    broken: tuple[str, ...]


def keep(limits: StepLimits, controllers: Collection[str], user: str | None) -> Kept:
    """The way to keep `limits` with these controllers of control groups, for steps of the server's user or
    of `user`."""
    values: dict[str, str] = {}
    if_present: dict[str, str] = {}
    rlimits: dict[int, int] = {}
    notes: list[str] = []
    broken: list[str] = []
    if limits.memory is not None:
        if "memory" in controllers:
            values |= {"memory.max": str(limits.memory), "memory.oom.group": "1"}
            # Without it what exceeds the limit moves to the swap instead of ending the step.
            if_present["memory.swap.max"] = "0"
        else:
            rlimits[resource.RLIMIT_AS] = limits.memory
            notes.append("the memory limit holds for the address space of each process, not for all together")
    if limits.processes is not None:
        if "pids" in controllers:
            values["pids.max"] = str(limits.processes)
        elif user is not None:
            rlimits[resource.RLIMIT_NPROC] = limits.processes
            notes.append(f"the limit on processes counts every process of the user {user} on this machine")
        else:
            broken.append("`processes` needs a control group here, or a `user` of the step's own")
    if limits.cpu is not None:
        if "cpu" in controllers:
            values["cpu.max"] = f"{round(limits.cpu * CPU_PERIOD)} {CPU_PERIOD}"
        else:
            broken.append("`cpu` needs a control group here")
    if limits.file_size is not None:
        rlimits[resource.RLIMIT_FSIZE] = limits.file_size
    if limits.open_files is not None:
        rlimits[resource.RLIMIT_NOFILE] = limits.open_files
    return Kept(values, if_present, rlimits, tuple(notes), tuple(broken))


def size(count: int) -> str:
    """Bytes for a sentence: `512 MiB`."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor and count % factor == 0:
            return f"{count // factor} {unit}"
    return f"{count} bytes"
