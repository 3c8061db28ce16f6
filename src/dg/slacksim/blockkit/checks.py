"""The words of the Block Kit tables: checks of one value, and shapes made of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_PROBLEMS = 100
"""Problems that one report keeps; a hostile payload could have millions."""


@dataclass
class Report:
    """What is wrong, in Slack's words, each with the JSON pointer of its place."""

    problems: list[str] = field(default_factory=list)

    def add(self, message: str, pointer: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(f"{message} [json-pointer:{pointer}]")


Check = Callable[[Any, str, Report], None]
"""Checks a value at a pointer and adds to the report."""


@dataclass(frozen=True)
class Shape:
    """An object of known fields; calling it checks one. `rules` see the whole object."""

    fields: Mapping[str, Check]
    required: tuple[str, ...] = ()
    rules: tuple[Check, ...] = ()

    def __call__(self, value: Any, pointer: str, report: Report) -> None:
        if not isinstance(value, dict):
            report.add("must be an object", pointer)
            return
        for name in self.required:
            if name not in value:
                report.add(f"missing required field: {name}", pointer)
        for name, each in value.items():
            if name in self.fields:
                self.fields[name](each, f"{pointer}/{name}", report)
            else:
                report.add(f"invalid additional property: {name}", pointer)
        for rule in self.rules:
            rule(value, pointer, report)


@dataclass(frozen=True)
class Choice:
    """One of several shapes, told apart by `type`."""

    shapes: Mapping[str, Check]

    def __call__(self, value: Any, pointer: str, report: Report) -> None:
        kind = value.get("type") if isinstance(value, dict) else None
        if not isinstance(value, dict):
            report.add("must be an object", pointer)
        elif kind is None:
            report.add("missing required field: type", pointer)
        elif not isinstance(kind, str) or kind not in self.shapes:
            report.add(f"unsupported type: {str(kind)[:100]}", f"{pointer}/type")
        else:
            self.shapes[kind](value, pointer, report)


def shape(
    kind: str | None, fields: Mapping[str, Check], required: tuple[str, ...] = (), *rules: Check
) -> Shape:
    """A shape that also has `type`, when `kind` names one."""
    typed = {"type": constant(kind)} if kind else {}
    return Shape({**typed, **fields}, required, rules)


def constant(expected: str) -> Check:
    def check(value: Any, pointer: str, report: Report) -> None:
        if value != expected:
            report.add(f"must be equal to {expected}", pointer)

    return check


def string(most: int, least: int = 1, pattern: str | None = None, problem: str = "invalid format") -> Check:
    """`least` to `most` characters, which match `pattern` from their beginning where one is given."""
    shaped = re.compile(pattern) if pattern else None

    def check(value: Any, pointer: str, report: Report) -> None:
        if not isinstance(value, str):
            report.add("must be a string", pointer)
        elif len(value) < least:
            report.add(f"must be more than {least - 1} characters", pointer)
        elif len(value) > most:
            report.add(f"must be less than {most + 1} characters", pointer)
        elif shaped and not shaped.match(value):
            report.add(problem, pointer)

    return check


def integer(least: int, most: int) -> Check:
    def check(value: Any, pointer: str, report: Report) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            report.add("must be an integer", pointer)
        elif not least <= value <= most:
            report.add(f"must be between {least} and {most}", pointer)

    return check


def boolean(value: Any, pointer: str, report: Report) -> None:
    if not isinstance(value, bool):
        report.add("must be a boolean", pointer)


def one_of(*choices: str) -> Check:
    def check(value: Any, pointer: str, report: Report) -> None:
        if value not in choices:
            report.add("must be one of: " + ", ".join(choices), pointer)

    return check


def array(of: Check, most: int, least: int = 1) -> Check:
    """`least` to `most` items, each checked by `of`; of too many only the first `most` are looked at."""

    def check(value: Any, pointer: str, report: Report) -> None:
        if not isinstance(value, list):
            report.add("must be an array", pointer)
            return
        if len(value) < least:
            report.add(f"no fewer than {least} items allowed", pointer)
        if len(value) > most:
            report.add(f"no more than {most} items allowed", pointer)
        for index, each in enumerate(value[:most]):
            of(each, f"{pointer}/{index}", report)

    return check


def exactly_one(*names: str) -> Check:
    """A rule of a shape: one of these fields, and not two."""

    def check(value: Any, pointer: str, report: Report) -> None:
        if sum(name in value for name in names) != 1:
            report.add("must provide exactly one of: " + ", ".join(names), pointer)

    return check


def at_least_one(*names: str) -> Check:
    """A rule of a shape: one of these fields, with something in it."""

    def check(value: Any, pointer: str, report: Report) -> None:
        if not any(value.get(name) for name in names):
            report.add(f"missing required field: {names[0]}", pointer)

    return check


url = string(3000, pattern=r"(https?://|mailto:|slack://)\S", problem="invalid url")
image_url = string(3000, pattern=r"https?://\S", problem="invalid url")


def plain_text(most: int) -> Check:
    return Choice({"plain_text": _plain(most)})


def any_text(most: int) -> Check:
    return Choice({"plain_text": _plain(most), "mrkdwn": _mrkdwn(most)})


def _plain(most: int) -> Shape:
    return shape("plain_text", {"text": string(most), "emoji": boolean}, ("text",))


def _mrkdwn(most: int) -> Shape:
    return shape("mrkdwn", {"text": string(most), "verbatim": boolean}, ("text",))
