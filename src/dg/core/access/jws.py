"""Reads signed tokens (JWS, RFC 7515, compact) strictly, before any key is touched; callers judge the claims.

PyJWT alone accepts tokens with doubled claims, of any size and in several spellings, so it only checks the
signature here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import RSAAlgorithm

from dg.core import base64url

MAX_LENGTH = 8192
"""Characters of the longest token that is read."""

ALGORITHM = "RS256"
_RS256 = RSAAlgorithm(RSAAlgorithm.SHA256)
_PARTS = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


@dataclass(frozen=True, slots=True)
class Jws:
    """What a token says; nothing of it is proven before `is_signed_by`."""

    header: dict[str, Any]
    claims: dict[str, Any]
    content: bytes
    signature: bytes

    def is_signed_by(self, key: RSAPublicKey) -> bool:
        """Whether the owner of `key` signed this with RS256, the one algorithm there is."""
        return self.header.get("alg") == ALGORITHM and _RS256.verify(self.content, key, self.signature)


def read(token: str) -> Jws:
    """A token in its one spelling, taken apart. Raises ValueError for anything else."""
    match = _PARTS.fullmatch(token) if len(token) <= MAX_LENGTH else None
    if match is None:
        raise ValueError("not three parts of base64url")
    content = token[: match.end(2)].encode("ascii")
    header, claims = json_object(base64url.decode(match[1])), json_object(base64url.decode(match[2]))
    return Jws(header, claims, content, base64url.decode(match[3]))


def kid(token: str) -> str | None:
    """The id of the key that a token says it is signed with; None for what is no token. It proves nothing."""
    return _kid(token.partition(".")[0]) if len(token) <= MAX_LENGTH else None


@lru_cache(maxsize=256)
def _kid(header: str) -> str | None:
    """All tokens of one key begin alike, so this is worked out once and not at every request."""
    try:
        found = json_object(base64url.decode(header)).get("kid")
    except ValueError:
        return None
    return found if isinstance(found, str) else None


def json_object(raw: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8 in which no name occurs twice. Raises ValueError."""
    try:
        found = json.loads(raw.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004 - a wrong text, not a wrong call
    return found


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found
