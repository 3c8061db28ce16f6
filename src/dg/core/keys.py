"""What seals small secrets for the database, how its keys are written, and the files of keys in the home.

AES-256-GCM. What a secret belongs to is bound into it, so that it opens in no other place.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dg.core.errors import Refused
from dg.core.home import write_private

_VERSION = "v1"
_KEY_BYTES = 32
_FEWEST_BYTES = 12
"""Different bytes of a random key; that one has fewer happens less than once in 10^18."""
_NONCE_BYTES = 12


class Envelope:
    """Seals with the first of `keys` and opens with any of them. A home's is made by `core/custody.py`."""

    def __init__(self, keys: Sequence[bytes], entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._keys = {_name(key): AESGCM(key) for key in keys}
        self._newest = _name(keys[0])
        self._entropy = entropy

    def become(self, other: Envelope) -> None:
        """Hold the keys of `other`, for all who hold this one."""
        self._keys, self._newest = other._keys, other._newest

    def is_newest(self, sealed: str) -> bool:
        """Whether it was sealed with the key that seals now."""
        return sealed.startswith(f"{_VERSION}.{self._newest}.")

    def seal(self, text: str, context: str) -> str:
        """`text` as `v1.KEY.DATA`, which opens in the same `context` alone."""
        nonce = self._entropy(_NONCE_BYTES)
        sealed = self._keys[self._newest].encrypt(nonce, text.encode(), _bound(context))
        return f"{_VERSION}.{self._newest}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, context: str) -> str:
        """What was sealed. Raises Refused when the key is gone, or the text or its context is another."""
        version, _, rest = sealed.partition(".")
        name, _, data = rest.partition(".")
        key = self._keys.get(name)
        if version != _VERSION or key is None:
            raise Refused(
                "a secret was sealed with a key that this home does not have: put back the one that belongs "
                "to the database (`keys/envelope.key`, or where `[keys]` says), or make the secret anew",
                reason="sealed",
            )
        try:
            raw = base64.urlsafe_b64decode(data)
            return key.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound(context)).decode()
        except (InvalidTag, binascii.Error, ValueError):
            raise Refused("a sealed secret was changed, or moved from its place", reason="sealed") from None


def parse(text: bytes, where: str) -> list[bytes]:
    """The keys that `text` has, one on each line: 32 random bytes in hexadecimal or base64.

    Raises Refused, which names `where` and repeats nothing of `text`.
    """
    found = [_read_key(line) for line in text.split()]
    keys = [key for key in found if key is not None]
    if not keys or len(keys) < len(found):
        raise Refused(
            f"{where} does not hold keys of {_KEY_BYTES} bytes in hexadecimal or base64, one on each line: "
            "make one with `dg keys init`, or with `dg keys new` for another place",
            reason="key_unreadable",
        )
    if not all(map(_is_random, keys)):
        raise Refused(
            f"{where} holds a sample, not a random key, so that anybody can guess it: "
            "make one with `dg keys init`, or with `dg keys new` for another place",
            reason="key_sample",
        )
    return keys


def fresh() -> str:
    """A new key, as a line of a file of keys."""
    return f"{secrets.token_hex(_KEY_BYTES)}\n"


def kept(path: Path, make: Callable[[], str]) -> bytes:
    """What stands in the file of a key, made when there is none.

    Raises Refused when others than its owner may read it.
    """
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, make())
    if path.stat().st_mode & 0o077:
        raise Refused(
            f"{path} is a key of this server and others may read it: run `chmod 600 {path}`, "
            "and move it away for a new one if somebody may have",
            reason="key_exposed",
        )
    return path.read_bytes()


def _name(key: bytes) -> str:
    return hashlib.sha256(b"dg envelope" + key).hexdigest()[:12]


def _bound(context: str) -> bytes:
    return f"dg:{context}".encode()


def _read_key(line: bytes) -> bytes | None:
    try:
        key = bytes.fromhex(line.decode("ascii"))
    except ValueError:
        try:
            key = base64.b64decode(line, validate=True)
        except binascii.Error:
            return None
    return key if len(key) == _KEY_BYTES else None


def _is_random(key: bytes) -> bool:
    """False for what people write as an example: few different bytes, a text, or bytes in steps."""
    steps = {(after - before) % 256 for before, after in pairwise(key)}
    is_text = all(32 <= byte < 127 for byte in key)
    return len(set(key)) >= _FEWEST_BYTES and len(steps) > 1 and not is_text
