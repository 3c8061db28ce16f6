"""The local issuer: what it signs, and everything it must not fall for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from dg.core.access.issuer import LocalIssuer
from dg.core.access.jws import MAX_LENGTH
from dg.core.errors import Refused, Unauthenticated
from dg.core.testing import NOON, ManualClock

NOW = NOON // 1_000_000
YEAR = 365 * 86400.0


def make(folder: Path, clock: ManualClock | None = None, issuer: str = "dg:here") -> LocalIssuer:
    return LocalIssuer(folder, issuer, clock=clock or ManualClock(), leeway=5, longest=YEAR)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    make(folder)
    return folder


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def opened(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims, _ = token.split(".")
    return json.loads(base64.urlsafe_b64decode(header + "==")), json.loads(
        base64.urlsafe_b64decode(claims + "==")
    )


class Forger:
    """Somebody who holds a good token, the public key, and for some attacks the private one."""

    def __init__(self, keys: Path) -> None:
        key = serialization.load_pem_private_key((keys / "issuer.pem").read_bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        self.key = key
        self.public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.good = make(keys).sign(subject="s", token_id="t", issued_at=NOW, expires_at=NOW + 3600)
        self.header, self.claims = opened(self.good)

    def signed(self, header: object = None, claims: object = None) -> str:
        """Properly signed by the right key, whatever it says."""
        text = f"{part(header or self.header)}.{part(claims or self.claims)}"
        return f"{text}.{part(jwt.algorithms.RSAAlgorithm(hashes()).sign(text.encode(), self.key))}"

    def with_claims(self, **changes: object) -> str:
        return self.signed(claims={**self.claims, **changes})

    def without(self, name: str) -> str:
        return self.signed(claims={key: value for key, value in self.claims.items() if key != name})

    def with_header(self, **changes: object) -> str:
        return self.signed(header={**self.header, **changes})


def hashes() -> Any:
    return jwt.algorithms.RSAAlgorithm.SHA256


def hmac_with_the_public_key(forger: Forger) -> str:
    text = f"{part({**forger.header, 'alg': 'HS256'})}.{part(forger.claims)}"
    return f"{text}.{part(hmac.digest(forger.public, text.encode(), hashlib.sha256))}"


def signed_by_another_key(forger: Forger) -> str:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(forger.claims, other, "RS256", headers={"kid": forger.header["kid"]})


ATTACKS: dict[str, Callable[[Forger], str]] = {
    "nothing": lambda _: "",
    "words": lambda _: "not a token",
    "two parts": lambda f: f.good.rpartition(".")[0],
    "no signature": lambda f: f.good.rpartition(".")[0] + ".",
    "alg none": lambda f: f"{part({**f.header, 'alg': 'none'})}.{part(f.claims)}.",
    "alg nOnE with the signature": lambda f: f.with_header(alg="nOnE"),
    "HS256 keyed with the public key": hmac_with_the_public_key,
    "RS512": lambda f: f.with_header(alg="RS512"),
    "PS256": lambda f: f.with_header(alg="PS256"),
    "another key": signed_by_another_key,
    "no kid": lambda f: f.signed(header={"alg": "RS256", "typ": "JWT"}),
    "another kid": lambda f: f.with_header(kid="0" * 16),
    "kid is a path": lambda f: f.with_header(kid="../../../dev/null"),
    "kid is SQL": lambda f: f.with_header(kid="' OR 1=1 --"),
    "kid is no string": lambda f: f.with_header(kid=[f.header["kid"]]),
    "own key in the header": lambda f: f.with_header(jwk={"kty": "RSA", "n": "AQAB", "e": "AQAB"}),
    "key address in the header": lambda f: f.with_header(jku="https://evil.example/keys"),
    "unknown crit": lambda f: f.with_header(crit=["exp"]),
    "other type": lambda f: f.with_header(typ="at+jwt"),
    "other issuer": lambda f: f.with_claims(iss="dg:elsewhere"),
    "issuer is a list": lambda f: f.with_claims(iss=["dg:here"]),
    "no issuer": lambda f: f.without("iss"),
    "no exp": lambda f: f.without("exp"),
    "no nbf": lambda f: f.without("nbf"),
    "no iat": lambda f: f.without("iat"),
    "no sub": lambda f: f.without("sub"),
    "no jti": lambda f: f.without("jti"),
    "exp is a string": lambda f: f.with_claims(exp=str(NOW + 3600)),
    "exp is a float": lambda f: f.with_claims(exp=NOW + 3600.5),
    "exp is true": lambda f: f.with_claims(exp=True),
    "exp is null": lambda f: f.with_claims(exp=None),
    "exp is infinite": lambda f: f.signed(
        claims=json.dumps(f.claims).replace(str(NOW + 3600), "Infinity").encode()
    ),
    "exp is 1e308": lambda f: f.signed(
        claims=json.dumps(f.claims).replace(str(NOW + 3600), "1e308").encode()
    ),
    "exp has 4000 digits": lambda f: f.with_claims(exp=10**4000),
    "lasts too long": lambda f: f.with_claims(exp=NOW + int(YEAR) + 1),
    "is over": lambda f: f.with_claims(iat=NOW - 100, nbf=NOW - 100, exp=NOW - 5),
    "has not begun": lambda f: f.with_claims(nbf=NOW + 6),
    "is from the future": lambda f: f.with_claims(iat=NOW + 6),
    "subject is a number": lambda f: f.with_claims(sub=1),
    "a claim more": lambda f: f.with_claims(role="admin"),
    "an audience": lambda f: f.with_claims(aud="dg"),
    "a claim twice": lambda f: f.signed(
        claims=json.dumps(f.claims).replace('"sub"', '"sub": "local", "sub"').encode()
    ),
    "a header field twice": lambda f: f.signed(
        header=json.dumps(f.header).replace('"alg"', '"alg": "none", "alg"').encode()
    ),
    "claims are a list": lambda f: f.signed(claims=[f.claims]),
    "claims are no JSON": lambda f: f.signed(claims=b"\xff\xfe"),
    "deep claims": lambda f: f.signed(claims=b"[" * 3000),
    "padding": lambda f: f.good + "==",
    "a line feed at the end": lambda f: f.good + "\n",
    "a line feed inside": lambda f: f.good[:20] + "\n" + f.good[20:],
    "one megabyte": lambda f: f.signed(claims={**f.claims, "x": "a" * 1_000_000}),
    "one byte too long": lambda f: "a" * (MAX_LENGTH + 1),
    "claims exchanged": lambda f: f.good.replace(part(f.claims), part({**f.claims, "sub": "local"})),
    "not ASCII": lambda f: f.good + "ä",
    "a lone surrogate": lambda f: f.good + "\ud800",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_passes_and_all_get_the_same_words(keys: Path, attack: str) -> None:
    forger = Forger(keys)
    with pytest.raises(Unauthenticated) as caught:
        make(keys).verify(ATTACKS[attack](forger))
    assert (
        caught.value.message == "the token is missing, not valid here, expired or revoked; ask for a new one"
    )


def test_the_forgers_tools_make_good_tokens(keys: Path) -> None:
    """Otherwise the table above would pass for the wrong reason."""
    forger = Forger(keys)
    assert forger.signed() == forger.good
    assert make(keys).verify(forger.with_claims(sub="other")).sub == "other"


def test_the_same_claims_give_the_same_token_after_a_restart(keys: Path) -> None:
    one, two = (
        make(keys).sign(subject="s", token_id="t", issued_at=NOW, expires_at=NOW + 60) for _ in range(2)
    )
    assert one == two


async def test_a_token_is_good_until_its_end_and_the_leeway(keys: Path) -> None:
    clock = ManualClock()
    issuer = make(keys, clock)
    token = issuer.sign(subject="s", token_id="t", issued_at=NOW, expires_at=NOW + 60)
    await clock.advance(64.9)
    assert issuer.verify(token).exp == NOW + 60
    await clock.advance(0.1)
    with pytest.raises(Unauthenticated):
        issuer.verify(token)


def test_the_key_is_made_private(tmp_path: Path) -> None:
    make(tmp_path / "keys")
    assert (tmp_path / "keys" / "issuer.pem").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    make(tmp_path)
    (tmp_path / "issuer.pem").chmod(mode)
    with pytest.raises(Refused, match="chmod 600"):
        make(tmp_path)


@pytest.mark.parametrize("content", ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_is_none_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "issuer.pem"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(Refused, match=r"issuer\.pem"):
        make(tmp_path)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = tmp_path / "issuer.pem"
    path.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    path.chmod(0o600)
    with pytest.raises(Refused, match="not an RSA key"):
        make(tmp_path)
