"""Where JSON of the API becomes models and back: RFC 3339 to microseconds, external text made plain."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter

from dg.client.errors import Unintelligible
from dg.core.clock import to_datetime, to_micros
from dg.core.text import plain

T = TypeVar("T")
JSON = Any
"""What `json.loads` gives; checked by the model it is read into."""

TIMES = frozenset(
    {"at", "since", "until", "not_before", "estimated_start", "estimated_completion", "last_checked"}
)
"""Fields that hold a moment, beside all that end in `_at`."""

OPAQUE = frozenset(
    {
        "payload",
        "outputs",
        "details",
        "values",
        "config",
        "links",
        "protection",
        "probes",
        "definition",
        "facts",
    }
)
"""Fields whose keys are not ours: what looks like a moment in there stays text."""

MULTILINE = frozenset({"text", "logs", "patch"})
"""Fields that may hold line breaks and tabs, and the colours of a step's output, which are left out."""

SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
"""A control sequence of a terminal that is whole (ECMA-48 5.4): it shows nothing itself."""


def is_time(name: str) -> bool:
    """True when the field `name` is RFC 3339 on the wire and integer microseconds in a model."""
    return name in TIMES or name.endswith("_at")


def rfc3339(micros: int) -> str:
    """Table microseconds as the API writes a moment: `2026-11-26T07:30:00Z`."""
    moment = to_datetime(micros)
    return moment.isoformat(timespec="microseconds" if moment.microsecond else "seconds").replace(
        "+00:00", "Z"
    )


def clean(value: JSON, name: str = "", *, opaque: bool = False) -> JSON:
    """`value` with every string made safe for a terminal, and moments as microseconds."""
    match value:
        case str() if not opaque and is_time(name):
            return to_micros(datetime.fromisoformat(value))
        case str() if name in MULTILINE:
            return plain(SEQUENCE.sub("", value), multiline=True)
        case str():
            return plain(value)
        case list():
            return [clean(item, name, opaque=opaque) for item in value]
        case dict():
            inside = opaque or name in OPAQUE
            return {plain(key): clean(item, key, opaque=inside) for key, item in value.items()}
        case _:
            return value


_reader: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


def decode(kind: type[T], value: JSON) -> T:
    """Read JSON into `kind`, a model or a tuple of models; fields that a newer server adds are left out.

    Raises Unintelligible when the value does not fit.
    """
    try:
        read: T = _reader(kind).validate_python(clean(value), extra="ignore")
    except (ValueError, TypeError, OverflowError) as error:
        raise Unintelligible(
            f"the server's answer is not a {kind.__name__} that this dg understands"
        ) from error
    return read


def encode(model: BaseModel, *, only_set: bool = False) -> dict[str, JSON]:
    """A model as the API writes it: unset fields left out, moments in RFC 3339."""
    dumped: dict[str, JSON] = _moments(
        model.model_dump(mode="json", exclude_none=True, exclude_unset=only_set)
    )
    return dumped


def _moments(value: JSON, name: str = "") -> JSON:
    match value:
        case int() if is_time(name) and not isinstance(value, bool):
            return rfc3339(value)
        case list():
            return [_moments(item, name) for item in value]
        case dict() if name not in OPAQUE:
            return {key: _moments(item, key) for key, item in value.items()}
        case _:
            return value


def end(until: int | None, lasting: str | None) -> dict[str, JSON]:
    """How a request says when something ends: at a moment (microseconds), or after `1h30m`."""
    if until is not None:
        return {"until": rfc3339(until)}
    return {"for": lasting} if lasting is not None else {}
