"""A Clerk instance for figures: a key pinned in the server's settings, and a session token signed with it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER = "https://clerk.bench.invalid"
PAGE = "https://board.bench.invalid"
ORGANIZATION = "org_bench"
_LASTING = 3600


class Instance:
    """One key and what it signs."""

    def __init__(self, folder: Path) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._pem = folder / "clerk.pem"
        self._pem.write_bytes(
            self._key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    def settings(self) -> str:
        """The part of a `server.toml` that believes this instance."""
        table = {
            "issuer": ISSUER,
            "pem_file": str(self._pem),
            "authorized_parties": [PAGE],
            "organizations": [ORGANIZATION],
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in table.items()]
        return "\n".join(("[access.clerk]", *lines, 'grants = [{ to = "role:admin", role = "admin" }]', ""))

    def token(self) -> str:
        """A session token, of the size that Clerk's have, that outlasts a run."""
        now = int(time.time())
        claims = {
            "azp": PAGE,
            "exp": now + _LASTING,
            "fva": [12, -1],
            "iat": now,
            "iss": ISSUER,
            "jti": "3c0f61f4d7a24c8ba5d1",
            "nbf": now - 10,
            "o": {"id": ORGANIZATION, "rol": "admin", "slg": "bench"},
            "pla": "o:pro",
            "sid": "sess_2bench0123456789abcdefghijk",
            "sts": "active",
            "sub": "user_2bench0123456789abcdefghijk",
            "v": 2,
        }
        headers = {"cat": "cl_B7d4PD111AAA", "kid": "ins_2bench0123456789abcdefghijk"}
        return jwt.encode(claims, self._key, "RS256", headers=headers)
