"""JSON that a hostile client cannot bend: strict reading for request bodies, one fast writer for answers."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from pydantic_core import to_json

from dg.core.errors import Invalid

MEDIA_TYPE = "application/json"
MAX_DEPTH = 32
MAX_DIGITS = 19
MAX_INT = 1 << 63

_UNSAFE = re.compile("[\x00\ud800-\udfff]")


def write(value: object) -> bytes:
    """`value` as compact UTF-8 JSON."""
    return to_json(value)


def canonical(value: object) -> bytes:
    """One byte string for all JSON texts that mean the same: what an Idempotency-Key is bound to."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def read(body: bytes) -> Any:
    """The JSON value in `body` (RFC 8259, UTF-8).

    Raises Invalid for what parsers disagree about or databases refuse: duplicate keys, NaN and Infinity,
    numbers outside 64 bits, lone surrogates, NUL, a byte order mark, nesting deeper than `MAX_DEPTH`.
    """
    try:
        text = body.decode("utf-8")
        value = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise _bad(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _bad(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _too_deep() from None
    if text.count("[") + text.count("{") > MAX_DEPTH or "\\u" in text:
        _inspect(value)
    return value


def _bad(why: str) -> Invalid:
    return Invalid(f"the body is not valid JSON: {why}", reason="bad_json")


def _too_deep() -> Invalid:
    return Invalid(f"the body is nested deeper than {MAX_DEPTH} levels", reason="bad_json")


def _refuse_constant(word: str) -> NoReturn:
    raise _bad(f"{word} is not a JSON number")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS + 1 or not -MAX_INT <= (number := int(digits)) < MAX_INT:
        raise _bad("an integer does not fit in 64 bits")
    return number


def _number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _bad("a number is too large")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _bad("an object has the same key twice")
    return members


_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_int=_integer, parse_float=_number, object_pairs_hook=_unique
)


def _inspect(root: object) -> None:
    """Refuse depth and characters that only the parsed value shows."""
    level: list[object] = [root]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for value in level:
            if isinstance(value, str):
                _check_text(value)
            elif isinstance(value, dict):
                below.extend(value)
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
        if not below:
            return
        level = below
    raise _too_deep()


def _check_text(text: str) -> None:
    if _UNSAFE.search(text):
        raise _bad("a string holds a NUL or half of a surrogate pair")
