"""Core models as they stand in JSON, and the times and durations of requests as the core wants them.

Times leave as RFC 3339 in UTC and are integer microseconds inside; a field without a value is left out.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache, lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from dg.core.clock import to_datetime, to_micros
from dg.core.errors import Invalid
from dg.settings.units import parse_duration

M = TypeVar("M", bound=BaseModel)

TIMES = frozenset(
    {"at", "since", "until", "not_before", "estimated_start", "estimated_completion", "last_checked"}
)
"""Fields of core models that hold microseconds since the epoch; those that end in `_at` do too."""

INTERNAL = frozenset({"epoch", "guard", "spool_seq"})
"""Fields that only the core reads."""

VERBATIM = frozenset({"payload", "outputs", "checks", "values", "definition", "probes", "facts"})
"""Fields whose content is not the API's to read: it leaves as it is."""


_SCALARS = frozenset({str, int, float, bool})


@lru_cache(maxsize=4096)
def timestamp(micros: int) -> str:
    """Microseconds since the epoch as RFC 3339 with `Z`."""
    return to_datetime(micros).isoformat().replace("+00:00", "Z")


def plain(value: Any) -> Any:
    """A core model, or anything made of them, as JSON values."""
    kind: Any = type(value)
    return value if kind in _SCALARS else _conversion(kind)(value)


def _itself(value: Any) -> Any:
    return value


@cache
def _conversion(kind: Any) -> Callable[[Any], Any]:
    """How values of one class leave, worked out once."""
    if issubclass(kind, Enum):
        # The writer takes an enum too, at several times the cost of its value.
        return operator.attrgetter("value")
    if issubclass(kind, BaseModel):
        return _shape(tuple(name for name, field in kind.model_fields.items() if not field.exclude))
    if is_dataclass(kind):
        return _shape(tuple(field.name for field in fields(kind)))
    if issubclass(kind, Mapping):
        return lambda value: {key: plain(item) for key, item in value.items() if item is not None}
    if issubclass(kind, Sequence) and not issubclass(kind, str):
        return lambda value: [plain(item) for item in value]
    return _itself


def _shape(names: tuple[str, ...]) -> Callable[[Any], dict[str, Any]]:
    """Turns an object with these fields into JSON's."""
    plan = tuple((name, _of_field(name)) for name in names if name not in INTERNAL)

    def shape(value: Any) -> dict[str, Any]:
        return {name: convert(item) for name, convert in plan if (item := getattr(value, name)) is not None}

    return shape


def _of_field(name: str) -> Callable[[Any], Any]:
    if _is_time(name):
        return timestamp
    return _itself if name in VERBATIM else plain


def _is_time(name: str) -> bool:
    return name in TIMES or name.endswith("_at")


def read(model: type[M], body: Mapping[str, Any]) -> M:
    """A checked body as the core's request model. Raises Invalid for what only the model refuses."""
    values = {name: moment(name, value) if _is_time(name) else value for name, value in body.items()}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        wrong = [
            {"field": ".".join(map(str, item["loc"])), "message": item["msg"]}
            for item in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise Invalid(f"{wrong[0]['field'] or 'the body'}: {wrong[0]['message']}", errors=wrong) from None


def moment(field: str, text: str) -> int:
    """An RFC 3339 time as microseconds. Raises Invalid for one that no calendar of ours has."""
    try:
        at = to_micros(datetime.fromisoformat(_without_nanos(text).upper()))
        # An offset leads out of the first and the last year, and nothing could be said of that moment.
        to_datetime(at)
    except (ValueError, OverflowError):
        raise Invalid(f"{field} must be a time such as 2026-01-31T09:30:00Z", field=field) from None
    return at


def _without_nanos(text: str) -> str:
    return re.sub(r"(\.\d{6})\d+", r"\1", text)


def timespan(field: str, text: str) -> float:
    """A duration such as `2h` in seconds, above zero. Raises Invalid."""
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise Invalid(f"{field}: {error}", field=field) from None
    if not isinstance(seconds, float | int) or seconds <= 0:
        raise Invalid(f"{field} must be longer than nothing", field=field)
    return float(seconds)
