"""Reads `dg.toml`. Everything wrong is said at once, each with its field and the way out."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from dg.core.deployments.pipeline.models import Pipeline
from dg.core.deployments.tables import mistakes
from dg.core.errors import Invalid
from dg.core.text import plain

LARGEST = 64 * 1024
_MOST_ERRORS = 50
# tomllib's time grows with the square of the parts of a dotted key: 64 KiB of them hold a core for 8 seconds.
_MOST_DOTS = 200
_PLACE = re.compile(r"^(.*) \(at (line \d+, column \d+|end of document)\)$", re.DOTALL)


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
        found = mistakes(error, Pipeline)
    raise _invalid(found)


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


def _invalid(problems: list[tuple[str, str]]) -> Invalid:
    errors: list[Mapping[str, str]] = [
        {"field": field, "message": message} for field, message in problems[:_MOST_ERRORS]
    ]
    field, message = problems[0]
    first = f"{field} {message}" if field else f"it {message}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Invalid(f"the pipeline is not valid: {first}{more}", reason="invalid_pipeline", errors=errors)
