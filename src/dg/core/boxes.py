"""Texts that a client seals to a server's public key, so that no proxy before the server can read them.

HPKE in base mode (RFC 9180): DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM; the encapsulated key and
the ciphertext behind it, in base64. What a text belongs to is bound into it as `info`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from dg.core.errors import Invalid

SUITE = "HPKE-X25519-SHA256-AES256GCM"
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def public_key(private: bytes) -> bytes:
    """The 32 bytes that belong to the private key's."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def fingerprint(public: bytes) -> str:
    """What people compare a public key by: 32 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:32]


def seal(public: bytes, text: str, context: str) -> str:
    """`text` in a box that opens with the private key, in the same `context` alone.

    Raises Invalid for a public key that is none.
    """
    try:
        key = X25519PublicKey.from_public_bytes(public)
        return base64.b64encode(_SUITE.encrypt(text.encode(), key, context.encode())).decode()
    except ValueError:
        raise Invalid("the server's sealing key is none that anything can be sealed for") from None


def open_box(private: bytes, box: str, context: str) -> str:
    """What was sealed. Raises Invalid for a box that is none, or was sealed for another key or context."""
    try:
        raw = base64.b64decode(box, validate=True)
        key = X25519PrivateKey.from_private_bytes(private)
        return _SUITE.decrypt(raw, key, context.encode()).decode()
    except (InvalidTag, binascii.Error, ValueError):
        raise Invalid(
            "sealed.box does not open here: seal it with the key, and for the environment, name and version, "
            "that this server gives",
            field="sealed.box",
        ) from None


def secret_context(environment: str, name: str, version: int) -> str:
    """What a secret is bound to: as which version, of which name, it may become true where."""
    return f"dg secret/1 {environment}/{name}/{version}"
