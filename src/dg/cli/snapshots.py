"""Backups of one environment on the command line: made and kept by the server, or a file of one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dg.cli.options import Invocation
from dg.cli.output import Meaning, Output, Text
from dg.cli.words import SECOND
from dg.client.words import time_ago

if TYPE_CHECKING:
    from dg.core.backup.encryption import Identity
    from dg.core.backup.models import BackupRecord
    from dg.core.environments.models import EnvironmentState
    from dg.core.types import Environment

KIBIBYTE = 1 << 10


def make(invocation: Invocation, environment: Environment, name: str | None) -> None:
    """Let the server back an environment up under `name`, or under one of the moment.

    Raises Refused for a name that one has already: the server would answer with that older one.
    """
    from dg.cli.remote import record, server
    from dg.core.clock import SystemClock, to_datetime
    from dg.core.errors import Refused

    id_ = name or f"{to_datetime(SystemClock().micros()):%Y%m%d-%H%M%S}"
    with server(invocation) as dg:
        kept = dg.run(dg.client.backups.list(environment)) if name else ()
        for each in kept:
            if each.id == id_:
                raise Refused(
                    f"{each.place} is there already, and holds version {each.version}; choose another name",
                    reason="exists",
                )
        made = dg.run(dg.client.backups.make(environment, id_))
    output = invocation.output
    if output.json:
        record(output, made)
        return
    size = f"{made.size / KIBIBYTE:.1f} KiB"
    output.line(output.glyph("ok"), f"{made.place} holds version {made.version}", (size, Meaning.DIM))
    output.line(
        ("  restore it with", Meaning.DIM), f"dg backup restore {made.id} --environment {environment}"
    )


def show_list(invocation: Invocation, environment: Environment | None) -> None:
    """The backups that the server keeps."""
    from dg.cli.remote import now, record, server

    with server(invocation) as dg:
        found = dg.run(dg.client.backups.list(environment))
    output = invocation.output
    if output.json:
        for each in found:
            record(output, each)
        return
    if not found:
        output.line("The server keeps no backups; `dg backup create --environment ENV` lets it make one.")
        return
    output.table(_rows(found, now()), header=("OF", "NAME", "MADE", "BY", "SIZE", "RESTORES"), whole=True)


def _rows(found: Sequence[BackupRecord], now: int) -> list[list[Text]]:
    return [
        [
            each.what,
            each.id,
            time_ago((now - each.at) / SECOND),
            "schedule" if each.scheduled else each.by_name or each.by,
            f"{each.size / KIBIBYTE:.0f} KiB",
            _proved(each, now),
        ]
        for each in found
    ]


def _proved(record: BackupRecord, now: int) -> Text:
    if record.tested_at is None:
        return "not tried", Meaning.DIM
    if record.problem:
        return record.problem, Meaning.ERR
    return f"tried {time_ago((now - record.tested_at) / SECOND)}", Meaning.OK


def restore(
    invocation: Invocation,
    environment: Environment,
    id_: str,
    *,
    reason: str | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Let the server put an environment back, when whoever asks agreed to what changes."""
    from dg.cli.remote import server

    with server(invocation) as dg:
        before = dg.run(dg.client.environments.get(environment))
        planned = dg.run(dg.client.backups.preview(environment, id_, expected=before.version))
        if not _agreed(invocation.output, before.version, planned, id_, dry_run=dry_run, yes=yes):
            return
        after = dg.run(dg.client.backups.restore(environment, id_, reason=reason, expected=before.version))
    _show(invocation.output, before.version, after, id_)


def restore_file(
    invocation: Invocation,
    file: Path,
    identities: Sequence[Identity],
    *,
    reason: str | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Put an environment back into a home whose server is down, or into a new one."""
    from dg.cli.local import put_back
    from dg.core.backup.environment import read_snapshot

    _, snapshot = read_snapshot(file, identities)
    output, name = invocation.output, file.name

    def agreed(before: int, planned: EnvironmentState) -> bool:
        return _agreed(output, before, planned, name, dry_run=dry_run, yes=yes)

    before, after = put_back(invocation, snapshot, name, reason, agreed)
    if after is not None:
        _show(output, before, after, name)


def _agreed(
    output: Output, before: int, planned: EnvironmentState, backup: str, *, dry_run: bool, yes: bool
) -> bool:
    """Show what changes; whether it is to be done. Raises UsageError where nobody can be asked."""
    from dg.cli.environments import print_diff
    from dg.core.environments.models import EnvironmentDiff

    diff = EnvironmentDiff(before=f"{planned.name}@{before}", after=backup, items=planned.changes or ())
    if dry_run:
        print_diff(diff, output)
        return False
    if not diff.items:
        return True
    print_diff(diff, output.to(sys.stderr))
    if yes:
        return True
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is there to agree to it; say --yes")
    return click.confirm(f"Make {planned.name} so?", err=True)


def _show(output: Output, before: int, after: EnvironmentState, backup: str) -> None:
    from dg.cli.remote import record

    if output.json:
        record(output, after)
    elif after.version == before:
        output.line(after.name.value, "is so already, at version", str(before))
    else:
        output.line(output.glyph("ok"), after.name.value, f"is at version {after.version}, as in {backup}")
