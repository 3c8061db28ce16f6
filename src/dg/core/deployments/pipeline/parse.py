"""Reads `dg.toml`. Everything wrong is said at once, each with its field and the way out."""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dg.core.deployments.pipeline.models import (
    Check,
    Defaults,
    EnvironmentTable,
    Pipeline,
    Rollback,
    Source,
    Step,
    Table,
)
from dg.core.errors import Invalid
from dg.core.text import plain

LARGEST = 64 * 1024
_MOST_ERRORS = 50
# tomllib's time grows with the square of the parts of a dotted key: 64 KiB of them hold a core for 8 seconds.
_MOST_DOTS = 200
_PLACE = re.compile(r"^(.*) \(at (line \d+, column \d+|end of document)\)$", re.DOTALL)

_TABLES: dict[tuple[str, ...], type[Table]] = {
    (): Pipeline,
    ("source",): Source,
    ("defaults",): Defaults,
    ("step",): Step,
    ("step", "check"): Check,
    ("rollback",): Rollback,
    ("env",): EnvironmentTable,
}

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


# The same few texts are read twice for every deployment that is made, and again when it starts.
@lru_cache(maxsize=64)
def parse(text: str | bytes) -> Pipeline:
    """Read the text of a pipeline, at most 64 KiB of UTF-8.

    Raises:
        Invalid: `details["errors"]` lists every `{"field", "message"}`; a field looks like `step[2].timeout`,
            counted from 0, or like `line 3, column 9` where the text is no TOML.
    """
    data = _toml(_decoded(text))
    try:
        return Pipeline.model_validate(data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
    raise _invalid([problem for details in found for problem in _problems(details)])


def sha256(text: str) -> str:
    """The identity of a snapshot: 64 hex digits over its UTF-8 bytes."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _decoded(text: str | bytes) -> str:
    try:
        data = text.encode("utf-8") if isinstance(text, str) else text
        if len(data) > LARGEST:
            raise _invalid([("", f"is larger than {LARGEST // 1024} KiB")])
        return data.decode("utf-8")
    except UnicodeError:
        raise _invalid([("", "is not UTF-8 text")]) from None


def _toml(text: str) -> dict[str, Any]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.count(".") > _MOST_DOTS:
            raise _invalid([(f"line {number}", f"has more than {_MOST_DOTS} dots; break it up")])
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _PLACE.match(str(error))
        said, place = (match[1], match[2]) if match else (str(error), "")
        raise _invalid([(place, f"is not TOML: {plain(said, limit=200)}")]) from None
    except RecursionError:
        raise _invalid([("", "is nested too deeply")]) from None
    except ValueError:
        raise _invalid([("", "holds a number that is too long")]) from None


def _problems(details: ErrorDetails) -> Iterator[tuple[str, str]]:
    field = _field(details["loc"])
    if details["type"] == "problems":
        for below, message in details["ctx"]["problems"]:
            yield ".".join(filter(None, (field, below))), message
    else:
        yield field, _sentence(details)


def _sentence(details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(details["loc"])
    if kind in {"literal_error", "enum"}:
        return f"must be {context['expected']}".replace("'", '"')
    if kind == "value_error":
        return str(context["error"])
    return _SENTENCES.get(kind) or details["msg"]


def _unknown_key(loc: tuple[int | str, ...]) -> str:
    key = str(loc[-1])
    path = tuple(part for part in loc[:-1] if isinstance(part, str))
    table = _TABLES[path[:1] if path[:1] == ("env",) else path]
    if key in table.NOT_YET:
        return "is not available yet; remove it"
    known = [field.alias or name for name, field in table.model_fields.items()]
    near = difflib.get_close_matches(key[:100], known, n=1)
    return (
        f"is not a known key; did you mean `{near[0]}`?"
        if near
        else f"is not a known key; known are {', '.join(known)}"
    )


def _field(loc: tuple[int | str, ...]) -> str:
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":
            path += f".{plain(part, limit=64)}" if path else plain(part, limit=64)
    return path


def _invalid(problems: list[tuple[str, str]]) -> Invalid:
    errors: list[Mapping[str, str]] = [
        {"field": field, "message": message} for field, message in problems[:_MOST_ERRORS]
    ]
    field, message = problems[0]
    first = f"{field} {message}" if field else f"it {message}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Invalid(f"the pipeline is not valid: {first}{more}", reason="invalid_pipeline", errors=errors)
