"""What this machine lets a runner do to a step, found out by trying it the way a runner would.

The server asks once, `dg doctor` each time; the answer comes from a process of its own, as trying it cuts
that process off the network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import NamedTuple

from dg.runner import accounts, cgroups, namespaces

_SECONDS = 20.0


class Abilities(NamedTuple):
    """`controllers` are what control groups can limit, of cpu, memory and pids; `users` whether a step can
    run as another user; `network` whether the network can be taken from one."""

    controllers: frozenset[str]
    users: bool
    network: bool


def ask(python: str, cgroup: str | None) -> Abilities:
    """Ask a process that begins as a runner does; blocks some hundredths of a second.

    Raises OSError or ValueError when it does not answer.
    """
    entry = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__main__.py")
    argv = [python, "-I", "-S", entry, "--abilities", *([] if cgroup is None else [cgroup])]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, cwd="/", env={}, timeout=_SECONDS, check=True
        )
    except subprocess.SubprocessError as error:
        raise OSError(f"what this machine lets a step do cannot be found out: {error}") from error
    controllers, users, network = json.loads(done.stdout)
    return Abilities(frozenset(controllers), bool(users), bool(network))


def main(argv: list[str]) -> int:
    """Print what `ask` reads; `argv` holds the folder of control groups, if there is one."""
    controllers = _controllers(argv[0]) if argv else frozenset()
    found = [sorted(controllers), accounts.possible(), _can_leave_network()]
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def _controllers(parent: str) -> frozenset[str]:
    """What a run's group below `parent` can limit: one is made and removed again."""
    group = cgroups.Group(parent).below(f"dg-probe-{os.getpid()}")
    if not group.make():
        return frozenset()
    try:
        return group.enable()
    finally:
        group.remove()


def _can_leave_network() -> bool:
    try:
        namespaces.leave_network()
    except OSError:
        return False
    return True
