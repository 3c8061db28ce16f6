"""The home's private keys: made at the first start, refused when others than their owner may read them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from dg.core.errors import Refused
from dg.core.keys import kept

PrivateKey = RSAPrivateKey | Ed25519PrivateKey


def receipt_key(keys: Path) -> Ed25519PrivateKey:
    """What this home signs its receipts with: not the key of its tokens, which may be renewed at any time."""
    path = keys / "receipts.pem"
    key = load(path, Ed25519PrivateKey.generate)
    if not isinstance(key, Ed25519PrivateKey):
        raise wrong_kind(path, "an Ed25519 key")
    return key


def session_key(keys: Path) -> bytes:
    """What the secrets of sessions are made and told by; without it, everybody has to sign in again.

    Raises Refused for a file that others may read, or that holds something else.
    """
    path = keys / "sessions.key"
    found = re.fullmatch(rb"([0-9a-f]{64})\s*", kept(path, lambda: secrets.token_hex(32)))
    if found is None:
        raise Refused(f"{path} is not 32 bytes in hexadecimal", reason="key_unreadable")
    return bytes.fromhex(found[1].decode())


def load(path: Path, make: Callable[[], PrivateKey]) -> PrivateKeyTypes:
    """The private key at `path`, made when there is none. Raises Refused for one that cannot be trusted."""
    pem = kept(path, lambda: _pem(make()))
    try:
        # The check of a key that dg made itself would cost a quarter of the start.
        return serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError) as error:
        raise Refused(f"{path} is not a private key in PEM form: {error}", reason="key_unreadable") from None


def wrong_kind(path: Path, wanted: str) -> Refused:
    """What to raise for a key of another kind than `wanted`."""
    return Refused(f"{path} is not {wanted}", reason="key_unreadable")


def _pem(key: PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
