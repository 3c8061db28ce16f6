"""The pepper of this home: without it, what the database holds of API keys verifies and reveals none of them.

It stands in `keys/pepper`, one secret a line, the newest first: new keys are kept under that one, and those
kept under an older one go on for as long as its line stays.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from dg.core.errors import Refused
from dg.core.keys import kept

_BYTES = 32
_MOST = 16
_LINE = re.compile(rb"[0-9a-f]{64}")
_NOBODYS = bytes(_BYTES)


class Pepper:
    """The secrets of one home, each named by an id that tells nothing of it."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets = {_id(secret): secret for secret in secrets}
        self.newest = _id(secrets[0])

    def knows(self, pepper: str) -> bool:
        """Whether what was kept under this id can be verified here."""
        return pepper in self._secrets

    def digest(self, key: str) -> str:
        """What is kept of a key, under the newest secret: HMAC-SHA256, in hexadecimal."""
        return _hmac(self._secrets[self.newest], key)

    def matches(self, key: str, digest: str, pepper: str) -> bool:
        """Whether `digest` was made of `key` under the secret `pepper`; takes the same time in any case."""
        made = _hmac(self._secrets.get(pepper, _NOBODYS), key)
        return hmac.compare_digest(made, digest) and self.knows(pepper)


def open_pepper(keys: Path, entropy: Callable[[int], bytes] = os.urandom) -> Pepper:
    """The pepper in the folder `keys`, made when there is none.

    Raises Refused for a file that others may read, or that holds something else.
    """
    path = keys / "pepper"
    lines = kept(path, lambda: f"{entropy(_BYTES).hex()}\n").split()
    if not 0 < len(lines) <= _MOST or not all(map(_LINE.fullmatch, lines)):
        raise Refused(
            f"{path} is not the pepper of a home: it holds 1 to {_MOST} lines of 64 hexadecimal digits; "
            "restore it, or move it away and rotate every API key",
            reason="key_unreadable",
        )
    return Pepper([bytes.fromhex(line.decode()) for line in lines])


def _id(secret: bytes) -> str:
    return hashlib.sha256(b"dg pepper" + secret).hexdigest()[:8]


def _hmac(secret: bytes, key: str) -> str:
    return hmac.digest(secret, key.encode("utf-8", "surrogatepass"), "sha256").hex()
