"""Puts one commit's files into a worktree and runs nothing that the repository or the user configured."""

from __future__ import annotations

from collections.abc import Mapping

from dg.runner.child import Program
from dg.runner.ticket import Checkout

TIMEOUT = 600.0


def program(checkout: Checkout, env: Mapping[str, str], cwd: str) -> Program:
    """The git command; `env` gives it the PATH and a home of its own."""
    argv = [
        "git",
        f"--git-dir={checkout.git_dir}",
        *("-c", "core.hooksPath=/dev/null"),
        *("-c", "core.fsmonitor=false"),
        *("-c", "protocol.allow=never"),
        *("-c", "advice.detachedHead=false"),
        *("worktree", "add", "--detach", "--force", "--", checkout.work, checkout.commit),
    ]
    quiet = {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C",
    }
    return Program(argv, {**_without_git(env), **quiet}, cwd)


def _without_git(env: Mapping[str, str]) -> dict[str, str]:
    """`GIT_*` of the step environment is meant for steps; here it could name other folders or settings."""
    return {name: value for name, value in env.items() if not name.startswith("GIT_")}
