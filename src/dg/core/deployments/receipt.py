"""The form of a receipt: what a finished deployment was, as signed bytes that anybody can check offline.

A receipt is a JSON object of strings, booleans and whole numbers. What is hashed and signed is its canonical
form (RFC 8785); the signature is a detached JWS (RFC 7515 appendix F) with Ed25519 (RFC 8037). A document is
the receipt, the signature and the public key, written in exactly one way: a changed byte anywhere is found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from dg.core import base64url
from dg.core.errors import Invalid

FORMAT = "dg.receipt/1"
LARGEST = 1 << 20
"""Bytes of a document at most."""
_ALGORITHM = "EdDSA"
_TYPE = "dg-receipt"
_LARGEST_NUMBER = (1 << 53) - 1

Body = Mapping[str, Any]
"""A receipt's own content, as JSON values."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a good document shows: its content, the content's SHA-256, and the fingerprint of its key."""

    body: Body
    sha256: str
    fingerprint: str

    @property
    def previous(self) -> str | None:
        """The SHA-256 of the receipt before it in its lane; None when it is the lane's first."""
        found = self.body.get("previous")
        return found["sha256"] if isinstance(found, dict) and isinstance(found.get("sha256"), str) else None

    @property
    def lane(self) -> tuple[str, str]:
        """Service and environment."""
        deployment = self.body["deployment"]
        return str(deployment["service"]), str(deployment["environment"])


def canonical(body: Body) -> bytes:
    """The one form of `body` that is hashed and signed."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(body: Body) -> str:
    """SHA-256 of the canonical form, 64 hex digits: what the next receipt and the ledger keep of this one."""
    return hashlib.sha256(canonical(body)).hexdigest()


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of the key's SubjectPublicKeyInfo; `openssl pkey -pubin -outform DER | sha256sum` prints it."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def public_pem(key: Ed25519PublicKey) -> str:
    """The key as `read_key` takes it."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


def sign(body: Body, key: Ed25519PrivateKey) -> bytes:
    """The signed document; the same receipt and key always give the same bytes."""
    header = base64url.encode(canonical(_header(key.public_key())))
    return _document(body, header, base64url.encode(key.sign(_signed(header, body))), key.public_key())


def read_key(pem: bytes) -> Ed25519PublicKey:
    """A public key in PEM form. Raises Invalid for anything else."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise Invalid("the key is not a public key in PEM form", reason="bad_key") from None
    if not isinstance(key, Ed25519PublicKey):
        raise Invalid(
            "the key is not an Ed25519 key, and receipts are signed by those alone", reason="bad_key"
        )
    return key


def verify(document: bytes, trusted: Ed25519PublicKey | None = None) -> Proof:
    """What `document` proves. Without `trusted` that is only that it is whole and by the key inside it.

    Raises Invalid (`bad_receipt`) with the sentence that says what is wrong.
    """
    found = _parse(document)
    try:
        body, header, value, pem = (
            found["receipt"],
            found["signature"]["protected"],
            found["signature"]["signature"],
            found["key"],
        )
        key = read_key(pem.encode())
        whole = document == _document(body, header, value, key)
        named = header == base64url.encode(canonical(_header(key)))
        known = body["format"] == FORMAT
        signature = base64url.decode(value)
        proof = Proof(body, digest(body), fingerprint(key))
        _ = proof.lane
    except (KeyError, TypeError, AttributeError, ValueError):
        raise _bad("it is not a receipt of dg") from None
    if not known:
        raise _bad(f"this dg reads receipts of the format {FORMAT} only")
    if not whole:
        raise _bad("its bytes are not as dg writes them: it was changed, or formatted anew")
    if not named:
        raise _bad("its signature was made for another key or another purpose")
    if trusted is not None and fingerprint(trusted) != proof.fingerprint:
        raise _bad(f"it is signed by the key {proof.fingerprint[:16]}…, not by {fingerprint(trusted)[:16]}…")
    try:
        key.verify(signature, _signed(header, body))
    except InvalidSignature:
        raise _bad("its signature does not fit its content: it was changed after it was signed") from None
    return proof


def follows(later: Proof, earlier: Proof) -> bool:
    """Whether `later` is the receipt right after `earlier` in the same lane, by the same key."""
    return (
        later.previous == earlier.sha256
        and later.lane == earlier.lane
        and later.fingerprint == earlier.fingerprint
    )


def _header(key: Ed25519PublicKey) -> dict[str, str]:
    return {"alg": _ALGORITHM, "kid": fingerprint(key), "typ": _TYPE}


def _signed(header: str, body: Body) -> bytes:
    return f"{header}.{base64url.encode(canonical(body))}".encode()


def _document(body: Body, header: str, signature: str, key: Ed25519PublicKey) -> bytes:
    pem = public_pem(key)
    whole = {
        "receipt": body,
        "signature": {"protected": header, "signature": signature},
        "key": pem,
    }
    return (json.dumps(whole, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()


def _parse(document: bytes) -> dict[str, Any]:
    if len(document) > LARGEST:
        raise _bad(f"it is larger than {LARGEST >> 20} MiB, which no receipt is")
    try:
        found = json.loads(
            document.decode("utf-8"), parse_float=_refuse, parse_constant=_refuse, parse_int=_whole
        )
    except (ValueError, RecursionError):
        raise _bad("it is not JSON of the kind that dg writes") from None
    if not isinstance(found, dict) or found.keys() != {"receipt", "signature", "key"}:
        raise _bad("it is not a receipt of dg")
    return found


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} cannot be written in one way only")


def _whole(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > _LARGEST_NUMBER:
        raise ValueError("too large a number")
    return int(text)


def _bad(why: str) -> Invalid:
    return Invalid(f"this receipt proves nothing: {why}", reason="bad_receipt")
