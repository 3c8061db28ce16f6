"""What may say which version of a service runs; `core/drift/` asks it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from dg.core.environments.models import RunningCheck
from dg.core.text import plain
from dg.core.types import NAME_PATTERN

MOST_CHECKS = 200
INTERVALS = range(10, 86_401)
"""Seconds between two checks."""
TIMEOUTS = range(1, 61)
"""Seconds that one check may take."""
_LONGEST_URL = 2000
ADDRESS_HINT = f"must be an http or https address of at most {_LONGEST_URL} characters, without a password"
COMMANDS_OFF = "commands are off here; an admin allows them with `[drift] commands = true`"
_LONGEST_PATTERN = 300
_MOST_WORDS = 64
_LONGEST_WORD = 1000

_SERVICE = re.compile(NAME_PATTERN)
_POINTER = re.compile(r"(/([^~/]|~[01])*)*")


def wrong_checks(checks: Mapping[str, RunningCheck]) -> Iterator[tuple[str, str]]:
    """What is wrong with the checks, by field."""
    if len(checks) > MOST_CHECKS:
        yield "runs", f"has more than {MOST_CHECKS} services"
    for service, check in checks.items():
        field = f"runs.{plain(service, limit=63)}"
        if not _SERVICE.fullmatch(service):
            yield field, "is not the name of a service"
        for part, message in _wrong_check(check):
            yield f"{field}{part}", message


def _wrong_check(check: RunningCheck) -> Iterator[tuple[str, str]]:
    if (check.url is None) is (check.command is None):
        yield "", "needs either a url or a command"
    if check.url is not None and not is_address(check.url):
        yield ".url", ADDRESS_HINT
    if check.command is not None and not _is_command(check.command):
        yield ".command", f"must be 1 to {_MOST_WORDS} words, the first of which is a program"
    if check.pointer is not None and check.pattern is not None:
        yield "", "has a pointer and a pattern; one of them finds the version"
    if check.pointer is not None and not _is_pointer(check.pointer):
        yield ".pointer", "must be a JSON pointer such as /build/commit"
    if check.pattern is not None and (problem := _wrong_pattern(check.pattern)):
        yield ".pattern", problem
    if check.interval not in INTERVALS:
        yield ".interval", f"must be {INTERVALS.start} to {INTERVALS[-1]} seconds"
    if check.timeout not in TIMEOUTS:
        yield ".timeout", f"must be {TIMEOUTS.start} to {TIMEOUTS[-1]} seconds"


def forbidden_commands(checks: Mapping[str, RunningCheck]) -> list[tuple[str, str]]:
    """What is wrong with checks where commands are off, by field."""
    return [
        (f"runs.{service}.command", COMMANDS_OFF)
        for service, check in checks.items()
        if check.command is not None
    ]


def is_address(url: str) -> bool:
    """Whether it is an http or https address of one line, without a user name or password."""
    try:
        parts = urlsplit(url)
        return (
            len(url) <= _LONGEST_URL
            and plain(url) == url
            and " " not in url
            and parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and parts.username is None
            and parts.password is None
        )
    except ValueError:
        return False


def _is_command(words: tuple[str, ...]) -> bool:
    return (
        0 < len(words) <= _MOST_WORDS
        and bool(words[0].strip())
        and all(len(word) <= _LONGEST_WORD and plain(word) == word for word in words)
    )


def _is_pointer(text: str) -> bool:
    return len(text) <= _LONGEST_PATTERN and plain(text) == text and bool(_POINTER.fullmatch(text))


def _wrong_pattern(text: str) -> str | None:
    if not text or len(text) > _LONGEST_PATTERN or plain(text) != text:
        return f"must be a regular expression of at most {_LONGEST_PATTERN} visible characters"
    try:
        groups = re.compile(text).groups
    except (re.error, OverflowError, RecursionError):
        return "is not a regular expression"
    return "has more than one group; write the others as (?:…)" if groups > 1 else None
