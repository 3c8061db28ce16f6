"""The guarded way out: requests to addresses that people and pipelines name go through `Outbound`.

A name is looked up once, every address that it has is vetted, and a vetted one is dialled: what the name
leads to a moment later does not count. TLS and the Host header still go by the name.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urljoin

import httpx

from dg import __version__
from dg.core import addresses
from dg.core.clock import SECOND, to_micros
from dg.core.errors import Invalid, Refused, Unavailable
from dg.core.text import plain
from dg.settings.tree import Outbound as OutboundSettings

log = logging.getLogger(__name__)

USER_AGENT = f"dg/{__version__}"

_LONGEST_URL = 2048
_MOST_LOGGED = 1000
_MOST_ADDRESSES = 4
"""Addresses of one name that are tried in turn."""
_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAFE_HEADERS = frozenset({"accept", "content-type", "user-agent"})
"""What goes along when a redirect leads to another host: nothing that proves who asks."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host, as text. Raises OSError."""


@dataclass(frozen=True)
class Request:
    """What to send. `timeout` (seconds) bounds the whole exchange, `cap` the bytes kept of the answer's body,
    `redirects` how many are followed."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes = field(default=b"", repr=False)
    timeout: float = 10.0
    cap: int = 1 << 20
    redirects: int = 0


@dataclass(frozen=True)
class Answer:
    """What came back. Header names are lower case; `truncated` says that the body passed the cap."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    url: str
    truncated: bool = False

    def retry_after(self, now: int) -> float | None:
        """Seconds to wait, by the Retry-After header at `now` (microseconds); None when it says nothing."""
        value = self.headers.get("retry-after", "")
        if value.isascii() and value.isdecimal() and len(value) < 12:
            return float(value)
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        return max(0.0, (to_micros(moment) - now) / SECOND) if moment.tzinfo else None


class _Place(NamedTuple):
    url: httpx.URL
    host: str
    port: int

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.url.scheme, self.host, self.port

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Outbound:
    """Sends requests that may not reach inside. Errors name host and port, never the path: it may be secret.

    `resolve` looks names up. Raises Invalid for a `ca_file` that cannot be used.
    """

    def __init__(self, settings: OutboundSettings, *, resolve: Resolve | None = None) -> None:
        self._allowed = tuple(ipaddress.ip_network(word) for word in settings.allow)
        self._ports = tuple(_span(word) for word in settings.ports)
        self._resolve = resolve or look_up
        self._settings = settings
        self._logged: set[tuple[str, addresses.Ip]] = set()
        # The public authorities take 30 ms to read, which a start without a request need not pay.
        self._tls = _trusting(settings) if settings.ca_file else None

    def check(self, url: str) -> None:
        """What can be said of `url` before its name is looked up. Raises Invalid, Refused."""
        place = self._place(url)
        try:
            address = addresses.read(place.host)
        except ValueError:
            return
        self._vet(str(place), place.host, [address])

    async def reach(self, host: str, port: int) -> Sequence[addresses.Ip]:
        """The addresses to dial for `host`, by one look-up: what it leads to later does not count.

        Raises as `send` does.
        """
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._check_port(where, port)
        return self._vet(where, host, await self._addresses(host, port))

    @property
    def tls(self) -> ssl.SSLContext:
        """How the other side of a connection must prove who it is."""
        self._tls = self._tls or _trusting(self._settings)
        return self._tls

    def read(self, url: str) -> httpx.URL:
        """An http or https address that may be asked. Raises Invalid, Refused for its form and its port."""
        return self._place(url).url

    async def send(self, request: Request) -> Answer:
        """Send it and read the answer, whatever its status is.

        Raises:
            Invalid: the address is none that may be sent to (its form, its port).
            Refused: it leads inside; the sentence names the setting that would allow it.
            Unavailable: nothing usable came back in time.
        """
        try:
            async with asyncio.timeout(request.timeout):
                return await self._follow(request)
        except TimeoutError:
            where = self._place(request.url)
            raise _unreachable(f"{where} did not answer within {request.timeout:g} s") from None

    async def _follow(self, request: Request) -> Answer:
        for _ in range(request.redirects):
            answer = await self._exchange(request)
            where = answer.headers.get("location")
            if answer.status not in _REDIRECTS or where is None:
                return answer
            request = self._redirected(request, answer.status, where)
        return await self._exchange(request)

    def _redirected(self, request: Request, status: int, where: str) -> Request:
        here, there = self._place(request.url), self._place(urljoin(request.url, where))
        if here.url.scheme == "https" and there.url.scheme == "http":
            raise Refused(f"{here} leads from https to http, which dg does not follow", reason="outbound")
        if here.origin != there.origin:
            kept = {name: value for name, value in request.headers.items() if name.lower() in _SAFE_HEADERS}
            request = replace(request, headers=kept)
        if status == 303 or (status in {301, 302} and request.method == "POST"):
            request = replace(request, method="GET", content=b"")
        return replace(request, url=str(there.url))

    async def _exchange(self, request: Request) -> Answer:
        place = self._place(request.url)
        found = self._vet(str(place), place.host, await self._addresses(place.host, place.port))
        for address in found[:-1]:
            try:
                return await self._dial(request, place, address)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        try:
            return await self._dial(request, place, found[-1])
        except httpx.HTTPError as error:
            raise _unreachable(f"{place} {_said(error)}") from None

    async def _dial(self, request: Request, place: _Place, address: addresses.Ip) -> Answer:
        """One request on a connection of its own: one that was kept could be another name's."""
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **request.headers}
        sent = httpx.Request(
            request.method,
            place.url.copy_with(host=str(address)),
            headers={**headers, "Host": place.url.netloc.decode("ascii"), "Connection": "close"},
            content=request.content,
            extensions={"sni_hostname": place.host, "timeout": {"connect": request.timeout / 2}},
        )
        async with httpx.AsyncHTTPTransport(verify=self.tls, trust_env=False) as transport:
            response = await transport.handle_async_request(sent)
            try:
                content, truncated = await _read(response, request.cap)
            finally:
                await response.aclose()
        return Answer(response.status_code, dict(response.headers), content, request.url, truncated)

    def _place(self, url: str) -> _Place:
        if len(url) > _LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
            raise Invalid(f"an address has at most {_LONGEST_URL} printable ASCII characters and no spaces")
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise Invalid(f"this is no address: {plain(str(error), limit=200)}") from None
        if parsed.scheme not in _PORTS or not parsed.host:
            raise Invalid("an address begins with https:// or http:// and names a host")
        if parsed.userinfo:
            raise Invalid("an address may not hold a user name or password")
        host = parsed.raw_host.decode("ascii").removeprefix("[").removesuffix("]")
        place = _Place(parsed, host, _PORTS[parsed.scheme] if parsed.port is None else parsed.port)
        if "%" in host:
            raise Invalid("an address may not name a network interface")
        self._check_port(str(place), place.port)
        return place

    def _check_port(self, where: str, port: int) -> None:
        if not any(low <= port <= high for low, high in self._ports):
            raise Refused(
                f"{where} is on a port that dg does not reach for; an admin adds it to `[outbound] ports`",
                reason="outbound",
            )

    async def _addresses(self, host: str, port: int) -> list[addresses.Ip]:
        try:
            found = await self._resolve(host, port)
            return [addresses.read(text) for text in found]
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) else None
            sentence = f"{host} has no address{f' ({why})' if why else ''}"
            # A resolver that does not answer says nothing about the name.
            mute = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
            raise Unavailable(sentence, reason="resolver" if mute else "unreachable") from None

    def _vet(self, where: str, host: str, found: Sequence[addresses.Ip]) -> Sequence[addresses.Ip]:
        """The addresses to dial, all of which are fine. Raises Refused, Unavailable when there is none."""
        for address in found:
            if objection := addresses.objection(address, self._allowed):
                raise self._inside(where, host, *objection)
        if not found:
            raise _unreachable(f"{host} has no address")
        return list(dict.fromkeys(found))[:_MOST_ADDRESSES]

    def _inside(self, where: str, host: str, address: addresses.Ip, what: str) -> Refused:
        """The no to an address inside. What a name means there is for the log: who asks may be a stranger."""
        allow = f'`[outbound] allow = ["{ipaddress.ip_network(address)}"]`'
        if host == str(address):
            to, way = f"{address}, {what}", f"an admin allows it with {allow}"
        else:
            # A probe asks every few seconds; the log is to say it once.
            if (host, address) not in self._logged:
                self._logged = {*list(self._logged)[-_MOST_LOGGED:], (host, address)}
                log.warning(
                    "%s leads to %s, %s, where dg sends nothing; %s would allow it",
                    where,
                    address,
                    what,
                    allow,
                )
            to = "an address inside"
            way = "an admin finds which in the server's log, and allows it with `[outbound] allow`"
        # Whoever reads a cloud's metadata has the machine's own rights there: no way in is offered.
        if "metadata" in what:
            return Refused(f"{where} leads to {what}, where dg sends nothing", reason="outbound")
        return Refused(f"{where} leads to {to}, where dg sends nothing; {way}", reason="outbound")


async def look_up(host: str, port: int) -> Sequence[str]:
    """The machine's own resolver, with all its spellings of an address. Raises OSError, UnicodeError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(entry[4][0]) for entry in found]


async def _read(response: httpx.Response, cap: int) -> tuple[bytes, bool]:
    kept = bytearray()
    async for chunk in response.aiter_raw():
        kept += chunk[: cap - len(kept) + 1]
        if len(kept) > cap:
            return bytes(kept[:cap]), True
    return bytes(kept), False


def _trusting(settings: OutboundSettings) -> ssl.SSLContext:
    context = httpx.create_ssl_context(trust_env=False)
    if settings.ca_file is not None:
        try:
            context.load_verify_locations(cafile=str(settings.ca_file))
        except OSError as error:
            why = error.strerror or str(error)
            raise Invalid(f"outbound.ca_file: {settings.ca_file} cannot be used ({why})") from None
    return context


def _span(word: str) -> tuple[int, int]:
    low, _, high = word.partition("-")
    return int(low), int(high or low)


def _unreachable(sentence: str) -> Unavailable:
    return Unavailable(sentence, reason="unreachable")


def _said(error: httpx.HTTPError) -> str:
    match error:
        case httpx.ConnectTimeout():
            return "does not answer"
        case httpx.ConnectError():
            return f"cannot be reached: {plain(str(error), limit=200)}"
        case httpx.RemoteProtocolError():
            return f"does not speak HTTP as it should: {plain(str(error), limit=200)}"
        case _:
            return f"broke the connection ({type(error).__name__})"
