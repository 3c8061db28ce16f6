"""Placeholders in a pipeline's strings: which may stand where, and how they are filled without becoming code.

In argument lists, checks, outputs and variables `{name}` is replaced and `{{`, `}}` are literal braces. A
shell text gets only `{sha}` (40 hex digits); every other value reaches it as a `DG_*` variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from dg.core.errors import Invalid
from dg.core.text import plain

PLAIN_NAMES = ("sha", "version", "id", "service", "environment", "kind")
ENV_PREFIX = "env."
OUTPUTS_PREFIX = "outputs."
_OUTPUTS_MARK = "{" + OUTPUTS_PREFIX

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_KEY = re.compile(r"(?:env|outputs)\.[a-z][a-z0-9_]{0,62}")
_SHELL = re.compile(
    r"(?<!\$)\{(sha|version|id|service|environment|kind|(?:env|outputs)\.[a-z][a-z0-9_]{0,62})\}"
)
_ALLOWED = "{sha}, {version}, {id}, {service}, {environment}, {kind}, {env.KEY}"


def names(template: str) -> Iterator[str]:
    """The placeholders of `template`, without braces, unchecked."""
    return (match[1] for match in _TOKEN.finditer(template) if match[1] is not None)


def check(template: str, *, outputs: bool) -> str:
    """Return `template` if every brace in it is understood; `outputs` allows `{outputs.NAME}`.

    Raises:
        ValueError: an unknown placeholder or a lone brace, with the names that are allowed.
    """
    allowed = f"{_ALLOWED}, {{outputs.NAME}}" if outputs else _ALLOWED
    for match in _TOKEN.finditer(template):
        name = match[1]
        if match[0] in {"{", "}"}:
            raise ValueError(
                f"has a lone `{match[0]}`; write `{match[0] * 2}` for a brace, or one of {allowed}"
            )
        if name is None or name in PLAIN_NAMES:
            continue
        if not _KEY.fullmatch(name):
            raise ValueError(f"has an unknown placeholder `{{{plain(name, limit=60)}}}`; known are {allowed}")
        if name.startswith(OUTPUTS_PREFIX) and not outputs:
            raise ValueError(f"may not use `{{{name}}}`; known here are {allowed}")
    if "{" + _OUTPUTS_MARK in template:
        raise ValueError(f"may not hold a literal `{_OUTPUTS_MARK}`")
    return template


def check_shell(text: str) -> str:
    """Return the shell `text` if its only placeholder is `{sha}`; other braces are the shell's own.

    Raises:
        ValueError: a placeholder that has to be read from a variable, which is named.
    """
    for match in _SHELL.finditer(text):
        if match[1] != "sha":
            raise ValueError(
                f'may not use `{match[0]}`: a value must never become code; write "${variable(match[1])}"'
            )
    return text


def variable(name: str) -> str:
    """The `DG_*` variable that carries placeholder `name`."""
    if name.startswith(OUTPUTS_PREFIX):
        return f"DG_OUTPUT_{name.removeprefix(OUTPUTS_PREFIX).upper()}"
    return f"DG_{name.replace('.', '_').upper()}"


def substitute(template: str, values: Mapping[str, str]) -> str:
    """Fill a checked `template` from `values` (`"sha"`, `"env.domain"`, ...).

    `{outputs.NAME}` stays for the runner, which reads the result once more: no value may make another one.

    Raises:
        Invalid: a value is missing, holds a NUL, or would read as `{outputs.`.
    """
    filled = _TOKEN.sub(lambda match: _filled(match, values), template)
    if filled.count(_OUTPUTS_MARK) != sum(name.startswith(OUTPUTS_PREFIX) for name in names(template)):
        raise Invalid(f"no value may put `{_OUTPUTS_MARK}` into `{template}`", reason="unusable_value")
    return filled


def substitute_shell(text: str, sha: str) -> str:
    """Fill `{sha}` in a checked shell text."""
    return _SHELL.sub(sha, text)


def _filled(match: re.Match[str], values: Mapping[str, str]) -> str:
    name = match[1]
    if name is None:
        return match[0][0]
    if name.startswith(OUTPUTS_PREFIX):
        return match[0]
    value = values.get(name)
    if value is None:
        raise Invalid(f"`{{{name}}}` has no value here", reason="missing_value", placeholder=name)
    if "\0" in value:
        raise Invalid(
            f"the value of `{{{name}}}` may not hold NUL", reason="unusable_value", placeholder=name
        )
    return value
