"""The one place where an error becomes words on stderr and an exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import IntEnum
from typing import TextIO

from dg.cli.output import Meaning, Output
from dg.core.errors import Problem


class ExitCode(IntEnum):
    """What a script may rely on; printed by `dg --help`."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    INTERNAL = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141


EXIT_CODES = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "the deployment, the audit or the test failed, or the answer is no",
    ExitCode.USAGE: "the command or the request is wrong",
    ExitCode.REFUSED: "refused: not allowed, not found, or not now",
    ExitCode.UNREACHABLE: "the server, or something it needs, does not answer",
}


def exit_code(problem: Problem) -> ExitCode:
    """The code for an error that a service or the server raised."""
    if problem.status >= 500:
        return ExitCode.UNREACHABLE
    if problem.status in {400, 413, 415, 422}:
        return ExitCode.USAGE
    return ExitCode.REFUSED


def report(problem: Problem, output: Output, stream: TextIO) -> ExitCode:
    """Say it on `stream`, as the API's envelope under `--json`, and give the exit code."""
    if output.json:
        error = {"code": problem.code, "message": problem.message, "details": _details(problem)}
        stream.write(json.dumps({"error": error}, default=str) + "\n")
    else:
        words = output.to(stream)
        words.line(("dg:", Meaning.ERR), problem.message)
        for line in _more(problem):
            words.line("   ", line)
    return exit_code(problem)


def _details(problem: Problem) -> dict[str, object]:
    return {"reason": problem.reason, **problem.details}


def _more(problem: Problem) -> Iterator[str]:
    errors = problem.details.get("errors")
    for error in errors if isinstance(errors, list) else ():
        if isinstance(error, dict):
            field, message = str(error.get("field", "")), str(error.get("message", ""))
            if not _said(problem.message, field, message):
                yield message if message.startswith(field) else f"{field} {message}"
    yield from _changes(problem.details.get("changes"))
    if hint := problem.details.get("hint"):
        yield str(hint)


def _changes(changes: object) -> Iterator[str]:
    """The commits that would come now, where what somebody saw has moved."""
    commits = changes.get("commits") if isinstance(changes, dict) else None
    shown = [commit for commit in commits if isinstance(commit, dict)] if isinstance(commits, list) else []
    for commit in shown:
        yield f"+ {str(commit.get('sha'))[:7]} {commit.get('subject')} ({commit.get('author')})"
    total = changes.get("total") if isinstance(changes, dict) else None
    if isinstance(total, int) and total > len(shown):
        yield f"and {total - len(shown)} more"


def _said(headline: str, field: str, message: str) -> bool:
    """Whether the first line is about this mistake already."""
    return message in headline or bool(field and headline.startswith((f"{field} ", f"{field}:")))
