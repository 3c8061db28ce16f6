"""Who may come in at all: requests for this server's own names, from its own pages, with its own cookie."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_urlsafe
from urllib.parse import urlsplit

from aiohttp import web

from dg.core.addresses import is_loopback, read
from dg.core.errors import Invalid

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Door:
    """The addresses under which browsers reach this server.

    `origins` are as a browser writes them in Origin; what follows `//` in them is what it writes in Host.
    `behind` says that a proxy stands in front, whose X-Forwarded-For counts.
    """

    origins: frozenset[str]
    behind: bool = False
    port: int | None = None
    """The one that browsers name; None for the usual one of https."""
    hosts: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hosts", frozenset(origin.partition("//")[2] for origin in self.origins))

    @classmethod
    def of(cls, port: int, public_url: str | None) -> Door:
        """The door of a server on `port` of this machine, or behind `public_url`."""
        if public_url:
            return cls(frozenset({public_url}), behind=True, port=urlsplit(public_url).port)
        return cls(frozenset(f"http://{name}:{port}" for name in LOOPBACK_NAMES), port=port)

    @property
    def secure(self) -> bool:
        """Whether browsers come over TLS."""
        return all(origin.startswith("https:") for origin in self.origins)

    @property
    def cookie(self) -> str:
        """The cookie's name: browsers let nobody but this very host set the one of TLS.

        Cookies go to all ports of a host. With the port in its name, a second `dg web` there signs nobody
        out of the first one.
        """
        name = f"dg-web-{self.port}" if self.port else "dg-web"
        return f"__Host-{name}" if self.secure else name

    def check(self, request: web.Request) -> None:
        """Raises HTTPForbidden for another's name, as after DNS rebinding, and for what another page asks."""
        if len(request.headers.getall("Host", ())) != 1 or request.headers["Host"].lower() not in self.hosts:
            raise web.HTTPForbidden(text="This server is not known by that name.\n")
        if request.method not in ("GET", "HEAD") or "Upgrade" in request.headers:
            self._check_origin(request)

    def _check_origin(self, request: web.Request) -> None:
        origins = request.headers.getall("Origin", ())
        if len(origins) != 1 or origins[0] != self.origin(request):
            raise web.HTTPForbidden(text="Only pages of this server may ask for that.\n")

    def origin(self, request: web.Request) -> str:
        """Where the page is that a checked request comes from."""
        scheme = "https" if self.secure else "http"
        return f"{scheme}://{request.headers['Host'].lower()}"

    def address(self, request: web.Request) -> str:
        """Where a request comes from, as the proxy in front says it where there is one."""
        if self.behind and (forwarded := request.headers.getall("X-Forwarded-For", ())):
            with suppress(ValueError):
                return str(read(forwarded[-1].rpartition(",")[2].strip()))
        return request.remote or ""

    def give(self, response: web.StreamResponse, value: str) -> None:
        """Hand out the cookie: no script reads it, and no other site's page sends it."""
        response.set_cookie(
            self.cookie, value, path="/", httponly=True, samesite="Strict", secure=self.secure
        )

    def take_back(self, response: web.StreamResponse) -> None:
        """Have the browser forget the cookie."""
        response.del_cookie(self.cookie, path="/", httponly=True, samesite="Strict", secure=self.secure)

    def policy(self, request: web.Request) -> str:
        """What a page may load and do. Its terminal sets styles of its own; all else is in files here."""
        if request.headers.get("Host", "").lower() not in self.hosts:
            return "default-src 'none'; frame-ancestors 'none'"
        sockets = self.origin(request).replace("http", "ws", 1)
        return (
            "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
            f"img-src 'self'; connect-src {sockets}; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'"
        )


def new_cookie() -> str:
    """256 bits that nobody guesses."""
    return token_urlsafe(32)


def digest(cookie: str) -> str:
    """What is kept of a cookie."""
    return sha256(cookie.encode("utf-8", "replace")).hexdigest()


def checked_public_url(url: str) -> str:
    """An https origin without a path. Raises Invalid."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if (
        parts.scheme != "https"
        or not parts.hostname
        or parts.username
        or parts.path.strip("/")
        or parts.query
    ):
        raise Invalid(
            "--public-url must be what browsers open, by https and without a path: https://dg.example.org",
            reason="usage",
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}" + (f":{port}" if port and port != 443 else "")


def check_place(host: str, public_url: str | None) -> None:
    """Raises Invalid where passwords of a session would go over a network in the clear."""
    if public_url is None and host != "localhost" and not is_loopback(host):
        raise Invalid(
            f"dg web speaks plain HTTP, so that {host} must not be reached without a proxy with TLS: "
            "name what browsers open then with --public-url https://…, or leave --host at 127.0.0.1",
            reason="usage",
        )
