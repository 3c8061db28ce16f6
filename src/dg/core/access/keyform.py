"""The form of an API key, `dgk_<env>_<random>_<check>`: made here, and read without asking any database.

`env` says where the key opens something (`all`: in more than one environment). The beginning of `random` is
public and finds the key; the rest is the secret, of 130 bits. `check` tells a mistyped key from a wrong one.
The form is published for secret scanners (docs/secret-scanning.md) and known to the runner's mask.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dg.core.types import Environment

PREFIX = "dgk_"
PATTERN = r"dgk_(?:dev|stg|prod|all)_[0-9A-Za-z]{32}_[0-9A-Za-z]{6}"
LONGEST = 48
"""Characters of the longest key."""

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM, _CHECK, _PUBLIC = 32, 6, 10
_ENTROPY = 32
"""Bytes; so many more than the characters hold that each of them is as likely as the others."""
_FORM = re.compile(PATTERN)
_SHORT: Mapping[str | None, str] = {
    "development": "dev",
    "staging": "stg",
    "production": "prod",
    None: "all",
}


def make(environment: Environment | None, entropy: Callable[[int], bytes]) -> str:
    """A new key for one environment, or for several of them (None)."""
    random = _base62(int.from_bytes(entropy(_ENTROPY), "big"), _RANDOM)
    body = f"{PREFIX}{_SHORT[environment]}_{random}"
    return f"{body}_{_check(body)}"


def is_sound(key: str) -> bool:
    """Whether `key` has the form of a key and its check fits: anything else is mistyped, or never was one."""
    if len(key) > LONGEST or not _FORM.fullmatch(key):
        return False
    body, _, check = key.rpartition("_")
    return check == _check(body)


def hidden(text: str) -> str:
    """The text with `***` for everything that has the form of a key."""
    return _FORM.sub("***", text)


def public_part(key: str) -> str:
    """The beginning of a sound key, which may be shown and by which it is found: `dgk_prod_2bX81mQw0Z`."""
    return key[: -(_RANDOM - _PUBLIC + 1 + _CHECK)]


def _check(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK)


def _base62(number: int, length: int) -> str:
    """The last `length` digits."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
