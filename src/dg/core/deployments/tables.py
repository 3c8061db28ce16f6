"""Tables that people write in TOML, and what is wrong with one in sentences: field, mistake and way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, ClassVar, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from dg.core.text import plain

_SENTENCES = {
    "missing": "is required",
    "string_type": "must be a string in quotes",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "mapping_type": "must be a table",
    "model_type": "must be a table",
}


class Table(BaseModel):
    """One table of a file. `NOT_YET` are keys that a coming version brings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    NOT_YET: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="after")
    def _hold_together(self) -> Self:
        problems = list(self.problems())
        if problems:
            raise PydanticCustomError("problems", "the table does not hold together", {"problems": problems})
        return self

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong between fields that are right alone: field (below this table) and sentence."""
        return iter(())


def at_most(count: int) -> BeforeValidator:
    """Refuses a longer list before its entries are read, each of which may take its time to be wrong."""

    def check(value: object) -> object:
        if isinstance(value, list | tuple) and len(value) > count:
            raise ValueError(f"may have at most {count} entries")
        return value

    return BeforeValidator(check)


def mistakes(error: ValidationError, root: type[Table]) -> list[tuple[str, str]]:
    """What is wrong with a table read as `root`: fields such as `step[2].timeout` (from 0), and why."""
    found = error.errors(include_url=False, include_input=False)
    return [mistake for details in found for mistake in _mistakes(details, root)]


def _mistakes(details: ErrorDetails, root: type[Table]) -> Iterator[tuple[str, str]]:
    field = _field(details["loc"])
    if details["type"] == "problems":
        for below, message in details["ctx"]["problems"]:
            yield ".".join(filter(None, (field, below))), message
    else:
        yield field, _sentence(details, root)


def _sentence(details: ErrorDetails, root: type[Table]) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(details["loc"], root)
    if kind in {"literal_error", "enum"}:
        return f"must be {context['expected']}".replace("'", '"')
    if kind == "value_error":
        return str(context["error"])
    return _SENTENCES.get(kind) or details["msg"]


def _unknown_key(loc: tuple[int | str, ...], root: type[Table]) -> str:
    key = str(loc[-1])
    table = _at(loc[:-1], root)
    if key in table.NOT_YET:
        return "is not available yet; remove it"
    known = [field.alias or name for name, field in table.model_fields.items()]
    near = difflib.get_close_matches(key[:100], known, n=1)
    return (
        f"is not a known key; did you mean `{near[0]}`?"
        if near
        else f"is not a known key; known are {', '.join(known)}"
    )


def _at(path: tuple[int | str, ...], root: type[Table]) -> type[Table]:
    """The table that stands at `path` below `root`; indices and the keys of mappings lead nowhere else."""
    table = root
    for part in path:
        fields = {field.alias or name: field for name, field in table.model_fields.items()}
        if isinstance(part, str) and part in fields:
            table = next(_inside(fields[part].annotation), table)
    return table


def _inside(annotation: Any) -> Iterator[type[Table]]:
    if isinstance(annotation, type) and issubclass(annotation, Table):
        yield annotation
    for argument in get_args(annotation):
        yield from _inside(argument)


def _field(loc: tuple[int | str, ...]) -> str:
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":
            path += f".{plain(part, limit=64)}" if path else plain(part, limit=64)
    return path
