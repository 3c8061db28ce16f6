"""The files of keys in the home's `keys`, and what seals small secrets for the database under one of them.

AES-256-GCM. What a secret belongs to is bound into it, so that it opens in no other place.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dg.core.errors import Refused
from dg.core.home import write_private

_VERSION = "v1"
_KEY_BYTES = 32
_NONCE_BYTES = 12


class Envelope:
    """Seals with the first of `keys` and opens with any of them. Made by `open_envelope`."""

    def __init__(self, keys: Sequence[bytes], entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._keys = {_name(key): AESGCM(key) for key in keys}
        self._newest = _name(keys[0])
        self._entropy = entropy

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
                "a secret was sealed with a key that this home does not have: put back the "
                "`keys/envelope.key` that belongs to the database, or make the secret anew",
                reason="sealed",
            )
        try:
            raw = base64.urlsafe_b64decode(data)
            return key.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound(context)).decode()
        except (InvalidTag, binascii.Error, ValueError):
            raise Refused("a sealed secret was changed, or moved from its place", reason="sealed") from None


def open_envelope(keys: Path) -> Envelope:
    """The envelope of a home; its key is made at the first start.

    `envelope.key` has a key in hexadecimal on each line: the first seals, all open. Raises Refused for one
    that others may read, or that is none.
    """
    path = keys / "envelope.key"
    lines = kept(path, _fresh).split()
    try:
        found = [bytes.fromhex(line.decode("ascii")) for line in lines]
    except ValueError:
        found = []
    if not found or any(len(key) != _KEY_BYTES for key in found):
        raise Refused(
            f"{path} does not hold keys of {_KEY_BYTES} bytes in hexadecimal, one on each line",
            reason="key_unreadable",
        )
    return Envelope(found)


def add_key(keys: Path) -> Envelope:
    """The envelope of a home after it got a new key that seals; those before it open only.

    Raises Refused as `open_envelope` does.
    """
    open_envelope(keys)
    path = keys / "envelope.key"
    write_private(path, f"{_fresh()}{kept(path, _fresh).decode('ascii')}")
    return open_envelope(keys)


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


def _fresh() -> str:
    return f"{secrets.token_hex(_KEY_BYTES)}\n"
