"""What surrounds a server, for `dg doctor`: the unit or container it runs in, its clock, its time-outs."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from dg.cli.finding import Finding
from dg.cli.words import SECOND, moment
from dg.core.home import Home

if TYPE_CHECKING:
    from dg.core.probe import Look
    from dg.settings import Settings

TIMEX_BYTES = 256
"""More than `struct timex` has on any machine (adjtimex(2))."""
TIME_ERROR = 5
"""The kernel's word for a clock that nobody keeps right."""

BACKWARDS = 60_000_000
"""Microseconds by which the newest event may be ahead of the clock without anybody noticing."""

QUIET_PROXY = 60.0
"""Seconds without a byte after which the usual proxies cut a stream."""

UNIT = "dg.service"
PROPERTIES = ("LoadState", "KillMode", "OOMPolicy", "PrivateTmp", "ProtectProc", "TimeoutStopUSec")
CONTAINER_MARKS = (Path("/run/.containerenv"), Path("/.dockerenv"))


SLOW_DATABASE = 0.02
"""Seconds for one question to the database from which every page feels slow: a change asks it a dozen."""


def database(settings: Settings) -> Iterator[Finding]:
    """PostgreSQL, where the settings name one: whether it answers, how fast, and what it may lose."""
    if settings.database.in_home:
        return
    from dg.core.clock import SystemClock
    from dg.core.errors import Problem
    from dg.core.probe import look

    try:
        found = look(settings, SystemClock())
    except Problem as problem:
        yield Finding("database", "fail", problem.message, "correct what is named; no server starts before")
        return
    if found is not None:
        yield from judged(found)


def backups(settings: Settings, now: int) -> Iterator[Finding]:
    """Whether the backups that the settings want can be made, were made, and can be tried."""
    from dg.core.backup import keys, schedule
    from dg.core.errors import Problem

    try:
        making, testing = schedule.making(settings.backup), schedule.testing(settings.backup)
        keys.check(settings)
        openers = keys.identities(settings)
    except Problem as problem:
        yield Finding("backups", "fail", problem.message, "correct what is named; see docs/backup.md")
        return
    if making is None:
        yield Finding("backups", "ok", "none by themselves; backup.at or backup.every makes them")
        return
    folder = keys.folder(settings)
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        yield Finding(
            "backups", "fail", f"{folder} is no folder to write to", "make it, as the server's user"
        )
        return
    if testing is not None and settings.backup.recipients and not openers:
        yield Finding("backups", "fail", "no key opens them, so none can be tested", "set backup.key_file")
    for what in settings.backup.what:
        yield _newest(what, folder, settings, now)


def _newest(what: str, folder: Path, settings: Settings, now: int) -> Finding:
    from dg.core.backup.schedule import is_late

    files = [path.stat().st_mtime for path in folder.glob(f"dg-{what}-*.dgb")]
    if not files:
        return Finding(
            "backups", "warn", f"none of {what} yet", "`dg backup list` tells, once the server runs"
        )
    newest = int(max(files) * SECOND)
    if is_late(settings.backup, newest, now):
        message = f"the newest of {what} is of {moment(newest)}, and another was due"
        return Finding("backups", "warn", message, "the server's log and /diagnostics say why")
    return Finding("backups", "ok", f"of {what}: {moment(newest)}")


def judged(found: Look) -> Iterator[Finding]:
    """Each thing that is not as it should be, or one line that all is well."""
    name = f"{found.database} (version {found.version})"
    about = f"{name} answers in {found.latency * 1000:.1f} ms"
    if found.active:
        about += f"; active last: {found.active}"
    slow = found.latency > SLOW_DATABASE
    remedy = "bring the server and its database closer together" if slow else ""
    yield Finding("database", "warn" if slow else "ok", about, remedy)
    if not found.encrypted:
        message = f"everything goes to the {found.database} in the clear"
        yield Finding("database", "warn", message, "end database.url with ?sslmode=verify-full")
    if not found.durable:
        message = f"the {found.database} runs with fsync = off: a power cut destroys it"
        yield Finding("database", "fail", message, "set fsync = on in postgresql.conf")


def clock(home: Path, now: int) -> Iterator[Finding]:
    """Whether a time service keeps the clock, and whether it went back behind what is on record."""
    yield synchronised(clock_state())
    newest = newest_event(Home(home).state)
    if newest is not None:
        yield not_before(newest, now)


def clock_state() -> int | None:
    """What adjtimex(2) says of the clock; None where there is none to ask."""
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except AttributeError:
        return None
    return int(adjtimex(ctypes.create_string_buffer(TIMEX_BYTES)))


def synchronised(state: int | None) -> Finding:
    if state is None or state < 0:
        return Finding("time service", "warn", "cannot be asked for", "see that the clock is kept right")
    if state == TIME_ERROR:
        remedy = "`timedatectl set-ntp true`, or another time service; tokens and schedules depend on it"
        return Finding("time service", "warn", "nobody keeps the clock right", remedy)
    return Finding("time service", "ok", "keeps the clock right")


def newest_event(state: Path) -> int | None:
    """When the newest event of this home happened, in microseconds; None when there is none to read."""
    try:
        with closing(sqlite3.connect(f"{state.as_uri()}?mode=ro", uri=True, timeout=2)) as database:
            found = database.execute("SELECT at FROM ledger ORDER BY seq DESC LIMIT 1").fetchone()
    except sqlite3.Error:
        return None
    return int(found[0]) if found else None


def not_before(newest: int, now: int) -> Finding:
    if now >= newest - BACKWARDS:
        return Finding("history", "ok", f"the newest event is of {moment(newest)}")
    message = f"the newest event is {(newest - now) // SECOND} s ahead of the clock"
    return Finding("history", "fail", message, "the clock was set back: set it right before more is written")


def timeouts(settings: Settings) -> Iterator[Finding]:
    """Pairs that contradict each other although each is fine by itself."""
    wrong = list(_contradictions(settings))
    yield from wrong
    if not wrong:
        yield Finding("time-outs", "ok", "agree with one another")


def _contradictions(settings: Settings) -> Iterator[Finding]:
    if settings.database.busy_timeout > settings.health.writes_stalled:
        yield Finding(
            "time-outs",
            "warn",
            "the server calls itself stuck while it may still wait for a lock",
            "set health.writes_stalled to database.busy_timeout or more",
        )
    if settings.api.stream_heartbeat >= QUIET_PROXY:
        yield Finding(
            "time-outs",
            "warn",
            f"idle streams are silent for {settings.api.stream_heartbeat:g} s; proxies cut them after 60 s",
            "set api.stream_heartbeat below 60s",
        )
    if settings.server.header_timeout > settings.server.idle_timeout:
        yield Finding(
            "time-outs",
            "warn",
            "a slow request may take longer than a connection may be idle",
            "set server.idle_timeout to server.header_timeout or more",
        )


def service(settings: Settings) -> Iterator[Finding]:
    """What starts and stops the server, as far as this machine tells."""
    if any(mark.exists() for mark in CONTAINER_MARKS):
        yield container(settings.server.drain)
    if properties := unit_properties(unit_of(settings.home)):
        yield from unit(properties, settings.server.graceful_stop, settings.server.drain)


def container(drain: float | None) -> Finding:
    if drain is not None:
        return Finding("container", "ok", f"a stop waits up to {drain:g} s for deployments (server.drain)")
    message = "this is a container: when the server stops, running deployments end with it"
    return Finding("container", "warn", message, "set server.drain, as `dg init server --container` does")


def unit_of(home: Path) -> str:
    """The unit that the home's running server is in; the one that `dg init server` writes when none runs."""
    try:
        pid = int(json.loads(Home(home).address.read_text("utf-8"))["pid"])
        groups = Path(f"/proc/{pid}/cgroup").read_text("ascii", "replace")
    except (OSError, ValueError, KeyError, TypeError):
        return UNIT
    return unit_in(groups) or UNIT


def unit_in(groups: str) -> str | None:
    """The systemd unit in the text of /proc/<pid>/cgroup."""
    for line in groups.splitlines():
        for part in line.rpartition(":")[2].split("/"):
            if part.endswith(".service") and not part.startswith("user@"):
                return part
    return None


def unit_properties(name: str) -> dict[str, str]:
    """What systemd knows of a unit; empty without systemd or without the unit."""
    if shutil.which("systemctl") is None:
        return {}
    done = subprocess.run(
        ["systemctl", "show", f"--property={','.join(PROPERTIES)}", "--", name],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return found if done.returncode == 0 and found.get("LoadState") == "loaded" else {}


def unit(properties: Mapping[str, str], graceful_stop: float, drain: float | None) -> Iterator[Finding]:
    """Whether deployments survive a stop of the unit."""
    mode = properties.get("KillMode", "")
    if mode == "process":
        yield Finding("unit", "ok", "KillMode=process: deployments survive a stop of the server")
    else:
        message = f"KillMode={mode}: a stop of the server kills running deployments"
        yield Finding("unit", "fail", message, "set KillMode=process, as in `dg init server`")
    for name, good, loss in (
        ("OOMPolicy", "continue", "a step out of memory takes the server and all deployments with it"),
        ("PrivateTmp", "no", "a stop of the server takes /tmp from running deployments"),
        ("ProtectProc", "default", "a cancel does not find all of a step's processes"),
    ):
        if properties.get(name, good) != good:
            yield Finding("unit", "warn", f"{name}={properties[name]}: {loss}", f"set {name}={good}")
    needed = graceful_stop + (drain or 0.0)
    given = seconds(properties.get("TimeoutStopUSec", "infinity"))
    if given is not None and given <= needed:
        message = (
            f"TimeoutStopSec={given:g}s: the server is killed while it stops, for which it has {needed:g} s"
        )
        yield Finding("unit", "warn", message, f"set TimeoutStopSec={needed + 10:g}s or more")


UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def seconds(span: str) -> float | None:
    """A time span as systemd prints it, such as `1min 30s`; None for one without end."""
    total = 0.0
    for word in span.split():
        number = word.rstrip("abcdefghijklmnopqrstuvwxyz")
        try:
            total += float(number) * UNITS[word[len(number) :]]
        except (ValueError, KeyError):
            return None
    return total
