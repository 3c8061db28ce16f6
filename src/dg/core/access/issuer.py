"""The local issuer: signs this home's tokens with a key of its own, and checks what it is shown (RS256)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from pydantic import BaseModel, ConfigDict, Field

from dg.core.access import jws
from dg.core.access.keys import load, wrong_kind
from dg.core.clock import SECOND, Clock
from dg.core.errors import Unauthenticated

_TOKEN, _ACCESS = "JWT", "at+jwt"
"""What the header says: a token of the table, or a session's access token (RFC 9068)."""
_Seconds = Annotated[int, Field(ge=0, lt=1 << 40)]


class Claims(BaseModel):
    """What a token says; times are whole seconds since the epoch, as JWT has them."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    iss: str
    sub: str
    jti: str
    iat: _Seconds
    nbf: _Seconds
    exp: _Seconds
    sid: str | None = None
    """The session, in its access tokens."""


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
        sample = self.sign(subject="", token_id="", issued_at=0, expires_at=0, session="")
        self._access_header = sample.partition(".")[0] + "."

    def sign(
        self, *, subject: str, token_id: str, issued_at: int, expires_at: int, session: str | None = None
    ) -> str:
        """The token for these claims (whole seconds); the same claims always give the same token.

        With a `session` it is an access token of that one.
        """
        claims = Claims(
            iss=self.name,
            sub=subject,
            jti=token_id,
            iat=issued_at,
            nbf=issued_at,
            exp=expires_at,
            sid=session,
        )
        headers = {"kid": self._kid, "typ": _TOKEN if session is None else _ACCESS}
        return jwt.encode(claims.model_dump(exclude_none=True), self._key, jws.ALGORITHM, headers=headers)

    def is_access_token(self, token: str) -> bool:
        """Whether it looks like a session's: an access token has one header for all. It proves nothing."""
        return token.startswith(self._access_header)

    def recognises(self, token: str) -> bool:
        """Whether it names this issuer's key: cheap, and no proof of anything."""
        return jws.kid(token) == self._kid

    def verify(self, token: str) -> Claims:
        """What a token of this issuer says. Raises Unauthenticated, always with the same words."""
        try:
            found = jws.read(token)
            claims = Claims.model_validate(found.claims)
        except ValueError:
            raise refusal() from None
        now = self._clock.micros() / SECOND
        started = max(claims.nbf, claims.iat) <= now + self._leeway
        over = now >= claims.exp + self._leeway or claims.exp - claims.iat > self._longest
        typ = _TOKEN if claims.sid is None else _ACCESS
        header = {"alg": jws.ALGORITHM, "typ": typ, "kid": self._kid}
        if found.header != header or claims.iss != self.name or not started or over:
            raise refusal()
        if not found.is_signed_by(self._public):
            raise refusal()
        return claims


def refusal() -> Unauthenticated:
    """The one answer to every bad credential: the difference would teach whoever tries."""
    return Unauthenticated("the token is missing, not valid here, expired or revoked; ask for a new one")


def _load(path: Path) -> RSAPrivateKey:
    key = load(path, _new_key)
    if not isinstance(key, RSAPrivateKey):
        raise wrong_kind(path, "an RSA key")
    return key


def _new_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)
