"""A Clerk instance of our own: signs its tokens, and publishes its keys at a server that can misbehave."""

from __future__ import annotations

import base64
import functools
import hmac
import json
import socket
import ssl
import string
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

PAGE = "https://board.example.org"
ORGANIZATION = "org_2shop"
USER = "user_2ana"
SESSION_CATEGORY = "cl_B7d4PD111AAA"

Answer = Callable[[socket.socket], None]


@functools.cache
def rsa_key(name: str = "first", bits: int = 2048) -> rsa.RSAPrivateKey:
    """One key a name for the whole run: making one takes longer than most tests."""
    del name
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def part(value: object) -> str:
    """A JSON value, or bytes, as a token carries it."""
    raw = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def number(value: int) -> str:
    return part(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def jwk(kid: str, key: rsa.RSAPrivateKey, **changes: object) -> dict[str, Any]:
    """A public key as Clerk publishes it."""
    numbers = key.public_key().public_numbers()
    entry = {"use": "sig", "kty": "RSA", "kid": kid, "alg": "RS256"}
    return {**entry, "n": number(numbers.n), "e": number(numbers.e), **changes}


def signed(key: rsa.RSAPrivateKey, header: object, claims: object) -> str:
    """Properly signed, whatever it says."""
    text = f"{part(header)}.{part(claims)}"
    algorithm = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
    return f"{text}.{part(algorithm.sign(text.encode(), key))}"


def pem(key: rsa.RSAPrivateKey) -> bytes:
    """The public half."""
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


class Instance:
    """Signs tokens with its current key; `published` says where its keys stand."""

    def __init__(self, issuer: str, now: Callable[[], float] = time.time) -> None:
        self.issuer = issuer
        self.kid = "ins_1"
        self.key = rsa_key()
        self._now = now

    def rotate(self, name: str) -> None:
        """Sign with another key from now on."""
        self.kid, self.key = f"ins_{name}", rsa_key(name)

    def header(self, **changes: object) -> dict[str, Any]:
        header = {"alg": "RS256", "cat": SESSION_CATEGORY, "kid": self.kid, "typ": "JWT"}
        return _changed(header, changes)

    def claims(self, **changes: object) -> dict[str, Any]:
        """Those of a session token of version 2, with `None` for what is to be left out."""
        now = int(self._now())
        claims = {
            "azp": PAGE,
            "exp": now + 60,
            "fva": [0, -1],
            "iat": now,
            "iss": self.issuer,
            "jti": "0c1d4a3b2e",
            "nbf": now - 10,
            "o": {"id": ORGANIZATION, "rol": "admin", "slg": "shop"},
            "sid": "sess_2abc",
            "sts": "active",
            "sub": USER,
            "v": 2,
        }
        return _changed(claims, changes)

    def token(self, header: Mapping[str, object] | None = None, /, **changes: object) -> str:
        """A session token of Ana's, an administrator of the shop's organisation."""
        return signed(self.key, self.header(**(header or {})), self.claims(**changes))

    def jwks(self) -> dict[str, Any]:
        return {"keys": [jwk(self.kid, self.key)]}

    def settings(self, **changes: object) -> dict[str, Any]:
        """`[access.clerk]` of a server that believes this instance."""
        settings = {
            "issuer": self.issuer,
            "authorized_parties": [PAGE],
            "organizations": [ORGANIZATION],
            "grants": [{"to": "role:admin", "role": "admin"}],
        }
        return _changed(settings, changes)


def _changed(values: dict[str, Any], changes: Mapping[str, object]) -> dict[str, Any]:
    return {name: value for name, value in {**values, **changes}.items() if value is not None}


# --- where the keys are published


class KeyServer:
    """Answers each connection as it is told; counts what was asked. Ended by `publishing`."""

    def __init__(self, certificate: tuple[Path, Path] | None = None) -> None:
        self.fetches = 0
        self.asked: list[str] = []
        self.answer: Answer = hang
        self.ended = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._tls: ssl.SSLContext | None = None
        if certificate:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._tls.load_cert_chain(*certificate)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self._socket.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def publish(self, document: object) -> None:
        """Answer every request with this."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.answer = respond(body)

    def _accept(self) -> None:
        while not self.ended.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), self._secured(connection) as peer:
            asked = b""
            while b"\r\n\r\n" not in asked and (data := peer.recv(4096)):
                asked += data
            if asked:
                self.fetches += 1
                self.asked.append(asked.decode("latin-1"))
                self.answer(peer)

    def _secured(self, connection: socket.socket) -> socket.socket:
        return self._tls.wrap_socket(connection, server_side=True) if self._tls else connection

    def close(self) -> None:
        self.ended.set()
        for opened in (self._socket, *self._open):
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()
        for thread in self._threads:
            thread.join()


@contextmanager
def publishing(certificate: tuple[Path, Path] | None = None) -> Iterator[KeyServer]:
    """A server for keys on loopback; it hangs until it is told what to answer."""
    server = KeyServer(certificate)
    try:
        yield server
    finally:
        server.close()


def respond(body: bytes, status: str = "200 OK", *fields: str) -> Answer:
    """One whole answer."""
    head = "\r\n".join((f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *fields))
    return lambda connection: connection.sendall(head.encode() + b"\r\n\r\n" + body)


def hang(connection: socket.socket) -> None:
    """Say nothing, for as long as the other end stays."""
    while connection.recv(1024):
        pass


def drip_headers(connection: socket.socket) -> None:
    """Never come to the end of the headers."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    _for_ever(connection, b"x-more: of the same\r\n", 0.02)


def never_end(connection: socket.socket) -> None:
    """A body without an end, as fast as it goes."""
    connection.sendall(b'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{"keys": [')
    _for_ever(connection, b" " * 65536, 0.0)


def reset(connection: socket.socket) -> None:
    """Go away in the middle of a line."""
    connection.sendall(b"HTTP/1.1 20")


def _for_ever(connection: socket.socket, data: bytes, pause: float) -> None:
    while True:
        connection.sendall(data)
        time.sleep(pause)


# --- sets of keys that lie


def liars(instance: Instance) -> dict[str, Answer]:
    """Answers that must not be believed, by what is wrong with them."""
    good = jwk(instance.kid, instance.key)
    private = instance.key.private_numbers()
    curve = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    weak = rsa_key("weak", 1024)

    def keys(*entries: object) -> Answer:
        return respond(json.dumps({"keys": entries}).encode())

    return {
        "a page": respond(b"<!doctype html><title>Sign in</title>"),
        "an error": respond(b'{"keys": []}', "503 Service Unavailable"),
        "nothing": respond(b""),
        "no content": respond(b"", "204 No Content"),
        "no keys": keys(),
        "no list": respond(json.dumps({"keys": good}).encode()),
        "a list": respond(json.dumps([good]).encode()),
        "another redirect": respond(b"", "302 Found", "location: /elsewhere"),
        "doubled names": respond(b'{"keys": [], "keys": [%s]}' % json.dumps(good).encode()),
        "10,000 keys": keys(*({**good, "kid": f"k{at}"} for at in range(10_000))),
        "a few too many": keys(*({**good, "kid": f"k{at}"} for at in range(33))),
        "two of one id": keys(good, jwk(instance.kid, rsa_key("other"))),
        "private": keys({**good, "d": number(private.d)}),
        "a shared secret": keys(good, {"kty": "oct", "kid": "s", "k": "c2VjcmV0"}),
        "another kind": keys(
            {**good, "kty": "EC", "crv": "P-256", "x": number(curve.x), "y": number(curve.y)}
        ),
        "for encryption": keys({**good, "use": "enc"}),
        "another algorithm": keys({**good, "alg": "RS512"}),
        "weak": keys(jwk(instance.kid, weak)),
        "huge": keys({**good, "n": number((1 << 16384) - 1)}),
        "an even exponent": keys({**good, "e": number(65536)}),
        "a huge exponent": keys({**good, "e": number((1 << 40) + 1)}),
        "no modulus": keys({name: value for name, value in good.items() if name != "n"}),
        "padded": keys({**good, "e": "AQAB===="}),
        "not text": respond(b'{"keys": ["\xff\xfe"]}'),
        "deep": respond(b'{"keys": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "numbers": keys(1, 2.5, None),
        "half": respond(json.dumps({"keys": [good]}).encode()[:-20]),
        "no HTTP": lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n"),
        "a reset": reset,
    }


# --- tokens that must not be believed


def forgeries(instance: Instance) -> dict[str, str]:
    """Tokens of every wrong kind, by what is wrong with them; the instance's own key signed most of them."""
    token, now = instance.token, instance.claims()["iat"]
    good = token()
    head, body, signature = good.split(".")
    curve = ec.generate_private_key(ec.SECP256R1())
    secret = pem(instance.key)

    def raw(claims: bytes) -> str:
        return signed(instance.key, instance.header(), claims)

    def headed(header: bytes) -> str:
        return signed(instance.key, header, instance.claims())

    def again(**changes: object) -> bytes:
        """Claims of which one comes twice."""
        text = json.dumps(instance.claims()).encode()
        return text[:-1] + b", " + json.dumps(changes).encode()[1:]

    def by(algorithm: str, key: Any) -> str:
        """Made by PyJWT itself with another algorithm."""
        headers = {"kid": instance.kid, "typ": "JWT"}
        return jwt.encode(instance.claims(), key, algorithm, headers=headers)

    return {
        "alg none": f"{part(instance.header(alg='none'))}.{body}.",
        "alg none with a signature": f"{part(instance.header(alg='none'))}.{body}.{signature}",
        "alg HS256 with the public key": _hs256(instance, secret),
        "alg HS256 with its numbers": _hs256(instance, json.dumps(instance.jwks()).encode()),
        "alg ES256": by("ES256", curve),
        "alg RS512": by("RS512", instance.key),
        "alg PS256": by("PS256", instance.key),
        "alg in lower case": token({"alg": "rs256"}),
        "alg missing": token({"alg": None}),
        "alg a list": token({"alg": ["RS256"]}),
        "another key": signed(rsa_key("other"), instance.header(), instance.claims()),
        "kid unknown": token({"kid": "ins_unknown"}),
        "kid missing": token({"kid": None}),
        "kid empty": token({"kid": ""}),
        "kid a number": token({"kid": 1}),
        "kid a path": token({"kid": "../../../../dev/null"}),
        "kid of SQL": token({"kid": "' OR 1=1 --"}),
        "typ of an access token": token({"typ": "at+jwt"}),
        "typ missing": token({"typ": None}),
        "cat of a machine": token({"cat": "cl_B7d4PD333AAA"}),
        "cat of a template": token({"cat": "cl_B7d4PD222AAA"}),
        "cat a list": token({"cat": [SESSION_CATEGORY]}),
        "jku": token({"jku": "https://evil.example/jwks.json"}),
        "jwk": token({"jwk": jwk(instance.kid, rsa_key("other"))}),
        "x5u": token({"x5u": "https://evil.example/cert.pem"}),
        "x5c": token({"x5c": ["MIIB"]}),
        "crit": token({"crit": ["exp"]}),
        "b64": token({"b64": False}),
        "zip": token({"zip": "DEF"}),
        "iss of another": token(iss="https://clerk.evil.example"),
        "iss with a slash": token(iss=f"{instance.issuer}/"),
        "iss in capitals": token(iss=instance.issuer.upper()),
        "iss a list": token(iss=[instance.issuer]),
        "iss missing": token(iss=None),
        "azp of another page": token(azp="https://evil.example"),
        "azp that begins like it": token(azp=f"{PAGE}.evil.example"),
        "azp missing": token(azp=None),
        "azp empty": token(azp=""),
        "azp a list": token(azp=[PAGE]),
        "aud of another": token(aud="another-service"),
        "sts pending": token(sts="pending"),
        "sts unknown": token(sts="revoked"),
        "v unknown": token(v=3),
        "v a text": token(v="2"),
        "v true": token(v=True),
        "sid missing": token(sid=None),
        "sub missing": token(sub=None),
        "sub empty": token(sub=""),
        "sub of a machine": token(sub="mch_2abc"),
        "sub a number": token(sub=7),
        "sub with a line break": token(sub="user_2ana\n"),
        "sub of another script": token(sub="user_2аna"),
        "act without whom": token(act={"iss": "https://dashboard.clerk.com"}),
        "act a text": token(act="user_2eve"),
        "exp missing": token(exp=None),
        "exp long ago": token(exp=now - 3600, iat=now - 3660, nbf=now - 3660),
        "exp just over": token(exp=now - 6, iat=now - 66, nbf=now - 66),
        "exp a text": token(exp=str(now + 60)),
        "exp a fraction": token(exp=now + 60.5),
        "exp 1e308": raw(json.dumps(instance.claims(exp=None)).encode()[:-1] + b', "exp": 1e308}'),
        "exp infinite": raw(json.dumps(instance.claims(exp=None)).encode()[:-1] + b', "exp": Infinity}'),
        "exp not a number": raw(json.dumps(instance.claims(exp=None)).encode()[:-1] + b', "exp": NaN}'),
        "exp of 5,000 digits": raw(
            json.dumps(instance.claims(exp=None)).encode()[:-1] + b', "exp": ' + b"9" * 5000 + b"}"
        ),
        "exp true": token(exp=True),
        "exp null": raw(json.dumps({**instance.claims(), "exp": None}).encode()),
        "exp before iat": token(exp=now + 1, iat=now + 2),
        "exp in ten years": token(exp=now + 315_360_000),
        "exp beyond time": token(exp=1 << 62),
        "nbf to come": token(nbf=now + 60),
        "nbf missing": token(nbf=None),
        "iat to come": token(iat=now + 30),
        "iat missing": token(iat=None),
        "iat negative": token(iat=-1),
        "exp twice": raw(again(exp=now + 60)),
        "sub twice": raw(again(sub="user_2eve")),
        "a name twice inside": raw(
            json.dumps(instance.claims(o=None)).encode()[:-1]
            + b', "o": {"id": "org_1", "id": "%s", "rol": "admin"}}' % ORGANIZATION.encode()
        ),
        "alg twice": headed(b'{"alg": "none", "alg": "RS256", "kid": "%s"}' % instance.kid.encode()),
        "claims of a list": raw(b"[]"),
        "claims of a text": raw(b'"claims"'),
        "claims empty": raw(b"{}"),
        "claims not JSON": raw(b"{'sub': 1}"),
        "claims not UTF-8": raw(b'{"sub": "\xff"}'),
        "claims deep": raw(b"[" * 5000),
        "claims of half a surrogate": raw(b'{"sub": "\\ud800"}'),
        "no signature": f"{head}.{body}.",
        "half a signature": good[: -len(signature) // 2],
        "a signature of noughts": f"{head}.{body}.{part(bytes(256))}",
        "another spelling": f"{good[:-1]}{_sibling(good[-1])}",
        "padding": f"{good}==",
        "padding inside": f"{head}==.{body}.{signature}",
        "standard base64": f"{head}.{body}.{signature[:-4]}+/+/",
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.{signature}",
        "five parts": f"{head}.{body}.{signature}.{body}.{signature}",
        "empty parts": "..",
        "a space inside": f"{head}. {body}.{signature}",
        "a word": "hello",
        "another alphabet": f"{head}.{body}.{'ａ' * 342}",
        "too long": token(more="x" * 8192),
        "far too long": "A" * 1_000_000,
    }


def _hs256(instance: Instance, secret: bytes) -> str:
    """PyJWT refuses to make one, and attackers do not ask it."""
    text = f"{part(instance.header(alg='HS256'))}.{part(instance.claims())}"
    return f"{text}.{part(hmac.digest(secret, text.encode(), 'sha256'))}"


def _sibling(letter: str) -> str:
    """Another last letter that decodes to the same bytes, to those who do not look at left-over bits."""
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    return letters[letters.index(letter) ^ 1]
