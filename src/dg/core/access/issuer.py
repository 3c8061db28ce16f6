"""The local issuer: signs this home's tokens with a key of its own, and checks what it is shown (RS256 only).

PyJWT alone accepts tokens without an end, with doubled claims or of any size, so
it only checks the signature here; everything that can be read before it is held against a strict form.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dg.core.access.keys import load, wrong_kind
from dg.core.clock import Clock
from dg.core.errors import Unauthenticated

MAX_LENGTH = 8192
_ALGORITHM = "RS256"
_Seconds = Annotated[int, Field(ge=0, lt=1 << 40)]
_PARTS = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


class Claims(BaseModel):
    """What a token says; times are whole seconds since the epoch, as JWT has them."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    iss: str
    sub: str
    jti: str
    iat: _Seconds
    nbf: _Seconds
    exp: _Seconds


class LocalIssuer:
    """Issues and verifies tokens with the key in the home's `keys` folder, made at the first start."""

    def __init__(self, keys: Path, issuer: str, *, clock: Clock, leeway: float, longest: float) -> None:
        self.name = issuer
        self._clock = clock
        self._leeway = leeway
        self._longest = longest
        self._key = _load(keys / "issuer.pem")
        public = self._key.public_key()
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self._public = public
        self._kid = hashlib.sha256(der).hexdigest()[:16]

    def sign(self, *, subject: str, token_id: str, issued_at: int, expires_at: int) -> str:
        """The token for these claims (whole seconds); the same claims always give the same token."""
        claims = Claims(
            iss=self.name, sub=subject, jti=token_id, iat=issued_at, nbf=issued_at, exp=expires_at
        )
        return jwt.encode(claims.model_dump(), self._key, _ALGORITHM, headers={"kid": self._kid})

    def verify(self, credential: str) -> Claims:
        """What a token of this issuer says. Raises Unauthenticated, always with the same words."""
        header, claims = _read(credential)
        if header != {"alg": _ALGORITHM, "typ": "JWT", "kid": self._kid} or claims.iss != self.name:
            raise refusal()
        try:
            # The times are held against our own clock below.
            jwt.decode(
                credential,
                self._public,
                [_ALGORITHM],
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.PyJWTError:
            raise refusal() from None
        now = self._clock.micros() / 1_000_000
        started = max(claims.nbf, claims.iat) <= now + self._leeway
        if not started or now >= claims.exp + self._leeway or claims.exp - claims.iat > self._longest:
            raise refusal()
        return claims


def refusal() -> Unauthenticated:
    """The one answer to every bad credential: the difference would teach whoever tries."""
    return Unauthenticated("the token is missing, not valid here, expired or revoked; ask for a new one")


def issuer_of(credential: str) -> str | None:
    """Whose token this says it is; None for what is no token. It proves nothing."""
    match = _PARTS.fullmatch(credential)
    try:
        issuer = _object(match[2]).get("iss") if match else None
    except (ValueError, TypeError, RecursionError):
        return None
    return issuer if isinstance(issuer, str) else None


def _read(credential: str) -> tuple[dict[str, Any], Claims]:
    match = _PARTS.fullmatch(credential) if len(credential) <= MAX_LENGTH else None
    if match is None:
        raise refusal()
    try:
        return _object(match[1]), Claims.model_validate(_object(match[2]))
    except (ValueError, TypeError, RecursionError, ValidationError):
        raise refusal() from None


def _object(part: str) -> dict[str, Any]:
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
    found = json.loads(raw.decode("utf-8"), object_pairs_hook=_no_duplicates)
    if not isinstance(found, dict):
        raise TypeError("not an object")
    return found


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _load(path: Path) -> RSAPrivateKey:
    key = load(path, _new_key)
    if not isinstance(key, RSAPrivateKey):
        raise wrong_kind(path, "an RSA key")
    return key


def _new_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)
