"""Puts one commit's files into a worktree and runs nothing that the repository or the user configured."""

from __future__ import annotations

import os
from collections.abc import Mapping

from dg.runner.child import Program
from dg.runner.ticket import Checkout

TIMEOUT = 600.0
_SAFE = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.allow=never")
_QUIET = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C",
}


def lock_path(git_dir: str) -> str:
    """To be locked (as a `lease`) by whoever lists, adds or removes worktrees of `git_dir`, a fetch included.

    Git reads the records of all worktrees then, and dies on one that another git is just writing: "failed to
    read .git/worktrees/work2/commondir: Success".
    """
    return os.path.join(git_dir, "dg-worktrees.lock")


def register(checkout: Checkout, env: Mapping[str, str], cwd: str) -> Program:
    """Make the worktree without files; quick, and to be run under the lock."""
    add = ("worktree", "add", "--no-checkout", "--detach", "--force", "--", checkout.work, checkout.commit)
    return Program(["git", f"--git-dir={checkout.git_dir}", *_SAFE, *add], _environment(env), cwd)


def fill(checkout: Checkout, env: Mapping[str, str]) -> Program:
    """Write the files of the commit; touches no other worktree, so it needs no lock."""
    read = ("read-tree", "--reset", "-u", checkout.commit)
    return Program(["git", *_SAFE, *read], _environment(env), checkout.work)


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    """`GIT_*` of the step environment is meant for steps; here it could name other folders or settings."""
    return {**{name: value for name, value in env.items() if not name.startswith("GIT_")}, **_QUIET}
