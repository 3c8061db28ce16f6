"""`dg doctor`: whether this machine can run a server, and what to do where it cannot."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dg.cli import surroundings
from dg.cli.errors import ExitCode
from dg.cli.finding import Finding
from dg.cli.options import Command, Invocation, pass_invocation
from dg.cli.output import Meaning, Output
from dg.cli.words import moment
from dg.core.clock import SECOND, SystemClock
from dg.core.errors import Invalid, Refused, Unavailable
from dg.runner import cgroups
from dg.runner.abilities import ask
from dg.runner.accounts import Account
from dg.runner.processes import capabilities

if TYPE_CHECKING:
    from dg.settings import Settings
    from dg.settings.tree import Runner

SQLITE_WAL_RESET_FIXED = (3, 51, 3)
"""The first SQLite without the bug that can corrupt a WAL file when two connections write at once."""

GIT_OLDEST = (2, 32)
"""The first git that takes `GIT_CONFIG_GLOBAL`, with which a mirror heeds no one's own settings."""

INODES_WARN, INODES_FAIL = 50_000, 2_000
"""Files that can still be made; one checkout takes thousands."""

DISK_WARN, DISK_FAIL = 1 << 30, 100 << 20
"""Free bytes below which it gets tight, and below which a server must not start."""

FILES_BESIDE_CONNECTIONS = 200
"""Open files that a server needs for itself: databases, logs, runners."""

CLOCK_SLACK = 300_000_000
"""Microseconds by which a file server's clock may differ from this machine's."""

CAPABILITIES = {
    "prctl": ("no prctl: a step's escaped children are found by their environment only", "use Linux"),
    "proc": ("no /proc: processes that escape a step are not found", "mount /proc"),
    "children": ("no children files in /proc: looking for a step's processes is slower", "nothing to do"),
    "cgroup2": (
        "no writable cgroup v2: steps have no group of their own",
        "delegate one and name it in runner.cgroup",
    ),
}
"""What is lost without each of the runner's capabilities, and the way out."""


@click.command(cls=Command)
@pass_invocation
def doctor(invocation: Invocation) -> ExitCode:
    """Check whether this machine can run a server."""
    findings = list(examine(invocation))
    show(findings, invocation.output)
    return ExitCode.FAILED if any(finding.level == "fail" for finding in findings) else ExitCode.OK


def show(findings: list[Finding], output: Output) -> None:
    """JSON lines, or a table in which the remedy stands below its finding."""
    if output.json:
        for finding in findings:
            output.record(asdict(finding))
        return
    space = max(len(finding.name) for finding in findings)
    for finding in findings:
        word, meaning = output.status(finding.level)
        output.line((f"{word:6}", meaning), f"{finding.name:{space}}", f" {finding.message}")
        if finding.remedy:
            output.line(" " * (space + 8), (finding.remedy, Meaning.DIM))


def examine(invocation: Invocation) -> Iterator[Finding]:
    """Every check, in the order in which one would set a machine up."""
    yield python(sys.version_info[:3])
    yield sqlite(sqlite3.sqlite_version_info)
    yield git(git_version())
    yield from runner(capabilities())
    yield clock(SystemClock().micros(), Path(__file__).stat().st_mtime)
    yield umask(current_umask())
    try:
        settings = invocation.settings().settings
    except Invalid as error:
        yield Finding("settings", "fail", error.message, "correct what is named")
        return
    yield Finding("settings", "ok", "as `dg config show` prints them")
    yield from surroundings.timeouts(settings)
    # A server raises its own limit as far as it may.
    yield files(resource.getrlimit(resource.RLIMIT_NOFILE)[1], settings.server.max_connections)
    yield from home(settings.home)
    yield from surroundings.database(settings)
    yield from surroundings.clock(settings.home, SystemClock().micros())
    yield from surroundings.backups(settings, SystemClock().micros())
    yield from surroundings.service(settings)
    yield from confinement(settings.runner)
    yield key(settings, invocation.environ)
    yield from sources(settings, invocation.environ)
    yield from incoming(settings, invocation.environ)


def python(version: tuple[int, ...]) -> Finding:
    name = f"{platform.python_implementation()} {_dotted(version)}"
    if version < (3, 11):
        return Finding("python", "fail", name, "dg needs Python 3.11 or newer")
    return Finding("python", "ok", name)


def sqlite(version: tuple[int, ...]) -> Finding:
    if version >= SQLITE_WAL_RESET_FIXED:
        return Finding("sqlite", "ok", _dotted(version))
    message = (
        f"{_dotted(version)} has the WAL-reset bug, which two writers at once can set off; dg writes with one"
    )
    remedy = f"let no other program write to dg's database; SQLite {_dotted(SQLITE_WAL_RESET_FIXED)} is safe"
    return Finding("sqlite", "warn", message, remedy)


def git_version() -> str | None:
    """What `git --version` says; None without git."""
    if shutil.which("git") is None:
        return None
    return subprocess.run(
        ["git", "--version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    ).stdout


def git(said: str | None) -> Finding:
    if said is None:
        return Finding("git", "fail", "not found", "install git")
    found = re.search(r"([0-9]+)\.([0-9]+)(\.[0-9]+)?", said)
    if found is None or (int(found[1]), int(found[2])) < GIT_OLDEST:
        return Finding(
            "git", "fail", said.strip() or "does not work", f"install git {_dotted(GIT_OLDEST)} or newer"
        )
    return Finding("git", "ok", found[0])


def runner(found: Mapping[str, bool]) -> Iterator[Finding]:
    """What deployments lose where the system lacks something."""
    for name, present in found.items():
        message, remedy = CAPABILITIES.get(name, (f"{name} is missing", "deployments run without it"))
        yield Finding(name, "ok", "available") if present else Finding(name, "warn", message, remedy)


def clock(now: int, installed: float) -> Finding:
    """The wall clock against the one thing known about it: dg was installed before it is run."""
    written = moment(now)
    if now < installed * SECOND - CLOCK_SLACK:
        return Finding(
            "clock", "fail", f"{written} is before dg was installed", "set the clock; tokens depend on it"
        )
    return Finding("clock", "ok", written)


def umask(mask: int) -> Finding:
    if mask & 0o022 == 0o022:
        return Finding("umask", "ok", f"{mask:04o}")
    return Finding(
        "umask", "warn", f"{mask:04o} lets others write to new files", "set `umask 077` where dg starts"
    )


def current_umask() -> int:
    """The mask can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def files(limit: int, connections: int) -> Finding:
    needed = connections + FILES_BESIDE_CONNECTIONS
    if limit == resource.RLIM_INFINITY or limit >= needed:
        return Finding("open files", "ok", "no limit" if limit == resource.RLIM_INFINITY else str(limit))
    message = f"{limit} are allowed; server.max_connections = {connections} needs {needed}"
    remedy = f"`ulimit -Hn {needed}` or LimitNOFILE={needed}; until then fewer connections are let in"
    return Finding("open files", "warn", message, remedy)


def home(path: Path) -> Iterator[Finding]:
    """Owner, mode and room of the folder that holds everything."""
    if not path.exists():
        yield Finding("home", "ok", f"{path} will be made at the first start")
    else:
        yield _private(path)
        for file in (path / "server.toml", path / "secrets.toml"):
            if file.exists() and file.stat().st_mode & 0o077:
                message = f"{file} can be read by others"
                yield Finding(
                    "home", "fail" if file.name == "secrets.toml" else "warn", message, f"chmod 600 {file}"
                )
    nearest = next(part for part in (path, *path.parents) if part.exists())
    yield disk(shutil.disk_usage(nearest).free)
    facts = os.statvfs(nearest)
    yield inodes(facts.f_files, facts.f_favail)


def confinement(settings: Runner) -> Iterator[Finding]:
    """What a step can be kept from on this machine, as far as this process may try it."""
    cgroup = str(settings.cgroup) if settings.cgroup else cgroups.delegated()
    try:
        found = ask(str(settings.python) if settings.python else sys.executable, cgroup)
    except (OSError, ValueError) as error:
        yield Finding("steps", "fail", f"the runner's Python does not answer: {error}", "see runner.python")
        return
    yield limits(found.controllers)
    if found.network:
        yield Finding("network", "ok", "can be taken from a step (`network = false`)")
    else:
        yield Finding(
            "network", "warn", "a step with `network = false` is refused", "allow network namespaces"
        )
    yield from (user(name, possible=found.users) for name in settings.users)


def limits(controllers: frozenset[str]) -> Finding:
    missing = [name for name in cgroups.CONTROLLERS if name not in controllers]
    if not missing:
        return Finding("limits", "ok", "a step's memory, processes and CPU, by control groups")
    message = (
        f"no control group for {', '.join(missing)}: memory is limited by address space, processes only with "
        "`user`, CPU not at all"
    )
    remedy = "run under the unit of `dg init server`, which delegates one, or set runner.cgroup"
    return Finding("limits", "warn", message, remedy)


def user(name: str, *, possible: bool) -> Finding:
    """One of `runner.users`."""
    try:
        Account.named(name)
    except ValueError as error:
        return Finding("user", "fail", str(error), "correct runner.users")
    if not possible:
        return Finding("user", "warn", f"no step can run as {name}", "run the server as root")
    return Finding("user", "ok", f"a step may run as {name}")


def key(settings: Settings, environ: Mapping[str, str]) -> Finding:
    """Whether the key that seals secrets can be used, from wherever it comes."""
    from dg.core.custody import Custody

    found = Custody(settings.keys, settings.home, environ, required=settings.server.production)
    if found.file is not None and not found.file.exists() and not settings.server.production:
        return Finding("key", "ok", f"{found.file} will be made at the first start")
    try:
        asyncio.run(found.open())
    except (Refused, Unavailable) as error:
        return Finding("key", "fail", error.message, "see docs/keys.md")
    return Finding("key", "ok", f"{found.name} gives one; `dg keys check` tries it on what is sealed")


def sources(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the keys and tokens for private repositories can be used, as far as this machine tells."""
    from dg.core.deployments.sources import Sources

    try:
        found = list(Sources(settings.git.sources, settings.home, environ).problems())
    except Invalid as error:
        yield Finding("git source", "fail", error.message, "correct the table's name in server.toml")
        return
    for name, problem in found:
        if problem is None:
            yield Finding("git source", "ok", f"{name} can be used; try it: dg pipeline source SERVICE")
        else:
            yield Finding("git source", "fail", problem, "see docs/private-git.md")


def incoming(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the secrets of webhooks that come in can be used."""
    from dg.core.deployments.notices.secrets import NoticeSecrets

    for name, problem in NoticeSecrets(settings.incoming.sources, settings.home, environ).problems():
        if problem is None:
            yield Finding("webhook", "ok", f"{name} may report at /v1/incoming-webhooks/{name}")
        else:
            yield Finding("webhook", "fail", problem, "see docs/incoming-webhooks.md")


def _private(path: Path) -> Finding:
    facts = path.stat()
    if not stat.S_ISDIR(facts.st_mode):
        return Finding("home", "fail", f"{path} is not a folder", "choose another with --home")
    if facts.st_uid != os.geteuid():
        return Finding(
            "home", "fail", f"{path} belongs to another user", "run dg as its owner, or choose another home"
        )
    if facts.st_mode & 0o077:
        return Finding("home", "warn", f"{path} is open to others", f"chmod 700 {path}")
    return Finding("home", "ok", str(path))


def disk(free: int) -> Finding:
    message = f"{free / (1 << 30):.1f} GiB free"
    if free >= DISK_WARN:
        return Finding("disk", "ok", message)
    remedy = "make room, or shorten retention.logs and retention.runs"
    return Finding("disk", "fail" if free < DISK_FAIL else "warn", message, remedy)


def inodes(total: int, free: int) -> Finding:
    """Some file systems have no fixed number of inodes and say 0."""
    if total == 0 or free >= INODES_WARN:
        return Finding("inodes", "ok", f"{free} free" if total else "no fixed number")
    remedy = "remove small files, or shorten retention.runs"
    return Finding("inodes", "fail" if free < INODES_FAIL else "warn", f"{free} free", remedy)


def _dotted(version: Iterable[int]) -> str:
    return ".".join(map(str, version))
