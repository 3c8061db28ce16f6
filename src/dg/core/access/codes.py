"""The secrets of sessions: what people read to each other, and what programs keep. None of them is stored.

A refresh token carries its session and its place in the chain under a MAC, so a forged one costs no look at
the database, and an old one is told from a forged one though nobody keeps it. Each leads to exactly one next
one: whoever lost an answer asks again and gets the same.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from dg.core import base64url

ALPHABET = "BCDFGHJKMNPQRSTVWXZ"
"""Without vowels, which make words, and without letters that look like others. 19^8 codes are 34 bits."""

LENGTH = 8
REFRESH = "dgr_"
DEVICE = "dgd_"
LONGEST = 128
"""Characters of the longest text that may be one of these secrets."""

_SECRET = 16
_MAC = 16
_BODY = 16 + 4 + _SECRET


@dataclass(frozen=True, slots=True)
class Refresh:
    """What a refresh token says: whose it is, and which of the chain; the first is number 0."""

    session: str
    generation: int
    secret: bytes


class Codes:
    """Makes and reads the secrets of one home, under a `key` that the database does not hold."""

    def __init__(self, key: bytes, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._key = key
        self._entropy = entropy

    def new_user_code(self) -> str:
        """Letters that a person reads to another."""
        letters = ""
        while len(letters) < LENGTH:
            # What is over the last whole round would make the first letters likelier.
            fair = (byte for byte in self._entropy(LENGTH) if byte < 256 - 256 % len(ALPHABET))
            letters += "".join(ALPHABET[byte % len(ALPHABET)] for byte in fair)
        return letters[:LENGTH]

    def new_device_code(self) -> str:
        """What the program that asks keeps."""
        return DEVICE + base64url.encode(self._entropy(32))

    def digest(self, secret: str) -> str:
        """What is kept of a code or token: hexadecimal, and nothing to guess at without the key."""
        return self._mac(b"digest", secret.encode("utf-8", "surrogatepass")).hex()

    def first(self, session: str, device_code: str) -> str:
        """The refresh token that a device code is given for."""
        return self._refresh(session, 0, self._mac(b"first", session.encode(), device_code.encode()))

    def after(self, refresh: Refresh) -> str:
        """The one refresh token that comes after `refresh`."""
        number = refresh.generation + 1
        return self._refresh(refresh.session, number, self._mac(b"next", _body(refresh)))

    def read(self, token: str) -> Refresh | None:
        """What a refresh token of this home says, whatever became of it; None for anything else."""
        raw = _decode(token, REFRESH)
        if raw is None or len(raw) != _BODY + _MAC:
            return None
        body, mac = raw[:_BODY], raw[_BODY:]
        if not hmac.compare_digest(mac, self._mac(b"refresh", body)[:_MAC]):
            return None
        return Refresh(str(uuid.UUID(bytes=body[:16])), int.from_bytes(body[16:20], "big"), body[20:])

    def _refresh(self, session: str, generation: int, secret: bytes) -> str:
        body = _body(Refresh(session, generation, secret[:_SECRET]))
        return REFRESH + base64url.encode(body + self._mac(b"refresh", body)[:_MAC])

    def _mac(self, *parts: bytes) -> bytes:
        """HMAC-SHA256; the first part says what for, so that nothing of one use fits another."""
        sized = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(self._key, sized, hashlib.sha256)


def read_user_code(text: str) -> str | None:
    """The code that a person typed, in whatever case and with or without a dash; None when it is none."""
    letters = "".join(text.upper().replace("-", " ").split())
    return letters if len(letters) == LENGTH and set(letters) <= set(ALPHABET) else None


def spoken(user_code: str) -> str:
    """A user code as it is shown: `BCDF-GHJK`."""
    return f"{user_code[: LENGTH // 2]}-{user_code[LENGTH // 2 :]}"


def _body(refresh: Refresh) -> bytes:
    return uuid.UUID(refresh.session).bytes + refresh.generation.to_bytes(4, "big") + refresh.secret


def _decode(text: str, prefix: str) -> bytes | None:
    """The bytes behind `prefix`; None for anything else."""
    part = text.removeprefix(prefix)
    if len(text) > LONGEST or part == text:
        return None
    try:
        return base64url.decode(part)
    except ValueError:
        return None
