"""Puts one commit's files into a folder and runs nothing that the repository or the user configured."""

from __future__ import annotations

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


def clone(checkout: Checkout, env: Mapping[str, str], cwd: str, *, whole: bool) -> Program:
    """Make a repository of the run's own that knows the mirror's branches and tags and borrows its objects,
    or with `whole`, for a user who cannot reach the mirror, has them itself.

    Not a worktree of the mirror: git dies on the record of one that it was killed at, or lost power at, and
    with it every later fetch and checkout of the service.
    """
    local = ("-c", "protocol.file.allow=always")
    make = ("clone", "--quiet", "--no-hardlinks" if whole else "--shared", "--no-checkout", "--template=")
    argv = ["git", *_SAFE, *local, *make, "--", checkout.git_dir, checkout.work]
    return Program(argv, _environment(env), cwd)


def fill(checkout: Checkout, env: Mapping[str, str]) -> Program:
    """Write the files of the commit."""
    switch = ("-c", "advice.detachedHead=false", "checkout", "--detach", "--force", checkout.commit, "--")
    return Program(["git", *_SAFE, *switch], _environment(env), checkout.work)


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    """`GIT_*` of the step environment is meant for steps; here it could name other folders or settings."""
    return {**{name: value for name, value in env.items() if not name.startswith("GIT_")}, **_QUIET}
