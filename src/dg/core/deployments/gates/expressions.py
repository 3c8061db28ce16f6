"""Custom gates: one comparison over facts that dg knows, judged by `holds` and by nothing else.

    lane.known      not lane.known      lane.failures == 0      artefact.scan == "passed"

What is not known closes the gate: nothing is assumed.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator

from dg.core.text import plain
from dg.core.types import Environment

Value = str | int | float | bool

FACTS: Mapping[str, tuple[type, str]] = {
    "service": (str, "the service"),
    "environment": (str, "where it is to be deployed"),
    "version": (str, "the version's label"),
    "ref": (str, "the branch or tag that was asked for"),
    "commit": (str, "the full commit"),
    "created_by.kind": (str, '"person" or "service"'),
    "lane.known": (bool, "whether it is known what runs there"),
    "lane.failures": (int, "deployments that failed there since the last success"),
    "minutes_since.development": (int, "since this commit's success in development"),
    "minutes_since.staging": (int, "since this commit's success in staging"),
}
"""Every fact that a gate may ask for, with its type and meaning, `artefact.KEY` apart."""

ARTEFACT = "artefact."
"""Before a key of the outputs that an earlier environment recorded for this very commit (text)."""

_SINCE = "minutes_since."

LONGEST = 200

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_NAME = r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*"
_FORM = re.compile(
    rf"""(?:(?P<negated>not[ ]+)?(?P<alone>{_NAME})
         |(?P<name>{_NAME})[ ]*(?P<operator>[=!<>]=|[<>])[ ]*
          (?P<literal>true|false|-?[0-9]{{1,15}}(?:\.[0-9]{{1,9}})?|"[^"\\]*"|'[^'\\]*'))""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,9})?")
_ARTEFACT = re.compile(r"artefact\.[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Answer:
    """Whether the gate is open. `sentence` says why, `values` are the facts that it was judged by."""

    open: bool
    sentence: str
    values: Mapping[str, Value]


@dataclass(frozen=True)
class _Comparison:
    """One expression, read: `name` compared by `sign` with `literal`."""

    name: str
    sign: str
    literal: Value


def holds(expression: str, facts: Mapping[str, Value]) -> Answer:
    """Judge a checked expression by `facts`; one that asks for anything else does not hold, and says so.

    Raises:
        ValueError: it is no expression (see `check`).
    """
    asked = _read(expression)
    value = facts.get(asked.name)
    if value is None:
        return Answer(False, f"`{expression}` cannot be judged: {_unknown(asked.name, facts)}", {})
    values = {asked.name: value}
    compared = _as_number(value) if isinstance(asked.literal, int | float) else value
    if compared is None:
        return Answer(False, f"`{expression}` does not hold: {_is(asked.name, value)}, no number", values)
    good = _OPERATORS[asked.sign](compared, asked.literal)
    return Answer(
        good, f"`{expression}` {'holds' if good else 'does not hold'}: {_is(asked.name, value)}", values
    )


def asks(expression: str) -> str:
    """The fact that a checked expression asks for."""
    return _read(expression).name


def check(expression: str) -> str:
    """Return `expression`, spaces trimmed, if it is one, over facts that exist and literals of their type.

    Raises:
        ValueError: it is not; the message says what is allowed.
    """
    expression = expression.strip()
    asked = _read(expression)
    if _ARTEFACT.fullmatch(asked.name):
        kind: type = str
    elif asked.name in FACTS:
        kind = FACTS[asked.name][0]
    else:
        near = difflib.get_close_matches(asked.name[:60], FACTS, n=1)
        known = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(FACTS)}, artefact.KEY"
        raise ValueError(f"asks for `{plain(asked.name, limit=60)}`, which dg does not know; {known}")
    _check_types(asked, kind)
    return expression


Expression = Annotated[str, AfterValidator(check)]
"""One gate as it is written, checked."""


def unknowable(expression: str, environment: Environment) -> str | None:
    """Why what a checked expression asks for is never known in `environment`; None when it may be."""
    name = asks(expression)
    before = list(Environment)[: list(Environment).index(environment)]
    if name.startswith(ARTEFACT) and not before:
        return f"asks for `{name}`, and no environment before {environment} can record it"
    if name.startswith(_SINCE) and name.removeprefix(_SINCE) not in before:
        return f"asks for `{name}`, which is no environment before {environment}"
    return None


def _check_types(asked: _Comparison, kind: type) -> None:
    literal, sign = asked.literal, asked.sign
    if isinstance(literal, bool) is not (kind is bool):
        wanted = "is true or false and is" if kind is bool else "is neither true nor false and must be"
        example = asked.name if kind is bool else f"{asked.name} {_EXAMPLES[kind]}"
        raise ValueError(f"`{asked.name}` {wanted} written as `{example}`")
    if isinstance(literal, bool | str) and sign not in {"==", "!="}:
        raise ValueError(f"`{sign}` compares numbers only; use == or !=")
    if isinstance(literal, str) and kind is not str:
        raise ValueError(f"`{asked.name}` is a number: write `{asked.name} {_EXAMPLES[kind]}`")
    if not isinstance(literal, str) and kind is str and not asked.name.startswith(ARTEFACT):
        raise ValueError(f"`{asked.name}` is text: write `{asked.name} {_EXAMPLES[str]}`")


_EXAMPLES = {str: '== "text"', int: "<= 3"}


@lru_cache(maxsize=256)
def _read(expression: str) -> _Comparison:
    match = _FORM.fullmatch(expression) if len(expression) <= LONGEST else None
    if match is None or plain(expression) != expression:
        raise ValueError(
            'must be `name`, `not name` or `name == "text"` (or !=, <, <=, >, >= and a number), '
            f"at most {LONGEST} characters"
        )
    if match["alone"]:
        return _Comparison(match["alone"], "==", not match["negated"])
    return _Comparison(match["name"], match["operator"], _literal(match["literal"]))


def _literal(text: str) -> Value:
    if text in {"true", "false"}:
        return text == "true"
    if text[0] in "\"'":
        return text[1:-1]
    return float(text) if "." in text else int(text)


def _as_number(value: Value) -> float | bool | None:
    """`value`, or the number that a text writes; None for another text."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value.strip()) else None
    return value


def _is(name: str, value: Value) -> str:
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{name} is {plain(shown, limit=80) or 'empty'}"


def _unknown(name: str, facts: Mapping[str, Value]) -> str:
    if name.startswith(ARTEFACT):
        recorded = sorted(known for known in facts if known.startswith(ARTEFACT))
        what = f"recorded are {', '.join(recorded)}" if recorded else "nothing was recorded"
        return f"no earlier environment recorded `{name}` for this commit; {what}"
    return f"`{name}` is not known here; known are {', '.join(sorted(facts)) or 'none'}"
