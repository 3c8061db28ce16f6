"""The SDK's one way to the server: bearer token, retries of what may be repeated, errors as the core's."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from urllib.parse import quote
from uuid import uuid4

import httpx

from dg import __version__
from dg.client.credentials import Credential
from dg.client.errors import Unintelligible, Unreachable, problem
from dg.client.ledger import Ledger
from dg.client.notices import Notices
from dg.client.wire import JSON, clean, decode
from dg.core.access.sessions import SessionTokens
from dg.core.clock import Clock
from dg.core.errors import Invalid, Problem, Refused, TooMany, Unauthenticated, Unavailable
from dg.core.text import plain

ATTEMPTS = 4
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
"""Seconds; a pause doubles from the first and is between half and all of that."""
SPREAD = 0.1
"""Of the pause that a server asks for: those whom it sent away together do not come back together."""

PATIENCE = 120.0
"""Seconds for which watching goes on without a server: one that restarts finds its deployments again."""


CONNECT_TIMEOUT = 5.0

REFRESH_TIMEOUT = 6.0
"""Seconds for one try to refresh a session: all fit into the time in which a server repeats its answer."""

Query = Mapping[str, str | int | float | None]


def path(*parts: str) -> str:
    """A path below `/v1` in which no part can reach beyond its own place."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def trusting(ca_file: Path) -> ssl.SSLContext:
    """Believes servers whose certificate leads to one of this PEM file, and no others. Raises Invalid."""
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:
        why = error.strerror or str(error)
        raise Invalid(f"the certificates in {ca_file} cannot be used ({why}): name a PEM file") from None


class Http:
    """Requests to one server; open between `__aenter__` and `__aexit__` of the Client that owns it."""

    def __init__(
        self,
        url: str,
        credential: Credential | None,
        *,
        transport: httpx.AsyncBaseTransport | None,
        timeout: float,
        clock: Clock,
        random: Random,
        ledger: Ledger,
        ca_file: Path | None = None,
    ) -> None:
        self.url = url
        self._ledger = ledger
        self._notices = Notices()
        self.clock = clock
        self._random = random
        self._timeout = timeout
        headers = {"User-Agent": f"dg/{__version__}", "Accept": "application/json"}
        self._credential = credential
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers=headers,
            transport=transport,
            trust_env=False,
            verify=True if ca_file is None else trusting(ca_file),
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def get(
        self, path: str, query: Query | None = None, *, wait: float = 0, patience: float | None = None
    ) -> JSON:
        """Read one resource; `wait` is how many seconds the server may hold the answer back on purpose.

        `patience` is for how many seconds it is asked again when it says to come later, the timeout if None.
        """
        return await self._send("GET", path, query=query, timeout=self._timeout + wait, patience=patience)

    async def write(
        self,
        method: str,
        path: str,
        body: JSON = None,
        *,
        query: Query | None = None,
        key: str | None = None,
        match: str | None = None,
    ) -> JSON:
        """Change something once, however often it has to be sent: it goes with an Idempotency-Key.

        `match` is the ETag that it must still have.
        """
        return await self._send(method, path, query=query, body=body, key=key or uuid4().hex, match=match)

    async def enter(self, path: str, body: JSON, *, timeout: float | None = None) -> JSON:
        """Ask for something that needs no token, such as to be let in."""
        return await self._send("POST", path, body=body, timeout=timeout, bearer=False)

    async def token(self, refused: str | None = None) -> str | None:
        """What opens the server now, for a connection of one's own; None without a credential. It is another
        one than `refused`, which the server did not take."""
        await self._renew(refused)
        return await self._credential.token(self._refresh) if self._credential else None

    async def _refresh(self, refresh_token: str) -> SessionTokens:
        body = {"refresh_token": refresh_token}
        found = await self.enter(
            path("sessions", "refresh"), body, timeout=min(REFRESH_TIMEOUT, self._timeout)
        )
        return decode(SessionTokens, found)

    async def _renew(self, refused: str | None) -> bool:
        """Get another token than the one that the server refused; False where there is no other."""
        if refused is None or self._credential is None or not self._credential.renewable:
            return False
        await self._credential.renew(refused, self._refresh)
        return True

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        query: Query | None = None,
        *,
        accept: str,
        headers: Mapping[str, str] | None = None,
        silence: float,
    ) -> AsyncIterator[httpx.Response]:
        """One open answer of media type `accept`; `silence` seconds without a byte are a lost connection."""
        response = await self._open(path, query, {"Accept": accept, **(headers or {})}, silence)
        try:
            with _connection_errors(self.url):
                if response.is_error:
                    await response.aread()
                    raise _problem(response)
                yield response
        finally:
            await response.aclose()

    async def _open(
        self, path: str, query: Query | None, headers: Mapping[str, str], silence: float
    ) -> httpx.Response:
        renewed = False
        while True:
            token = await self.token()
            asking, known = self._ledger.ask()
            request = self._http.build_request(
                "GET",
                path,
                params=_given(query),
                headers={**headers, **asking, **_bearer(token)},
                timeout=self._phases(read=silence),
            )
            with _connection_errors(self.url):
                response = await self._http.send(request, stream=True)
            self._ledger.observe(response.headers, known)
            if response.status_code != 401 or renewed:
                return response
            await response.aread()
            if not await self._renew(token):
                return response
            renewed = True

    def _phases(self, *, read: float) -> httpx.Timeout:
        return httpx.Timeout(self._timeout, connect=min(CONNECT_TIMEOUT, self._timeout), read=read)

    def pause(self, attempt: int, error: Problem | None = None) -> float:
        """Seconds to wait before trying again after the failed `attempt`, counted from 0."""
        if error and (asked := asked_pause(error, unsaid=0)):
            return min(asked, LONGEST_PAUSE)
        full = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt, 16))
        return full * (0.5 + self._random.random() / 2)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: JSON = None,
        key: str | None = None,
        match: str | None = None,
        timeout: float | None = None,
        patience: float | None = None,
        bearer: bool = True,
    ) -> JSON:
        headers = {"Idempotency-Key": key} if key else {}
        headers |= {"If-Match": match} if match else {}
        attempt, renewed = 0, False
        deadline = self.clock.monotonic() + (self._timeout if patience is None else patience)
        while True:
            token = await self.token() if bearer else None
            asking, known = self._ledger.ask()
            try:
                with _connection_errors(self.url):
                    response = await self._http.request(
                        method,
                        path,
                        params=_given(query),
                        json=body,
                        headers={**headers, **asking, **_bearer(token)},
                        timeout=self._phases(read=timeout or self._timeout),
                    )
                self._ledger.observe(response.headers, known)
                self._notices.observe(response)
                return _read(response)
            except TooMany as error:
                # It had no effect and says when the next one will not be in vain: that is no failed attempt.
                pause = asked_pause(error) * (1 + SPREAD * self._random.random())
                if self.clock.monotonic() + pause > deadline:
                    raise
                await self.clock.sleep(pause)
            except Unauthenticated:
                if renewed or not await self._renew(token):
                    raise
                renewed = True
            except Problem as error:
                attempt += 1
                if attempt >= ATTEMPTS or not _may_pass(error):
                    raise
                await self.clock.sleep(self.pause(attempt - 1, error))


class Patience:
    """How long a reader goes on asking a server that does not answer."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self.restore()

    def restore(self) -> None:
        """It answered: start over."""
        self._attempt = 0
        self._since: float | None = None

    async def spend(self, error: Unreachable) -> None:
        """Wait before asking again. Raises `error` when it took too long already."""
        now = self._http.clock.monotonic()
        self._since = now if self._since is None else self._since
        if now - self._since >= PATIENCE:
            raise error
        await self._http.clock.sleep(self._http.pause(self._attempt))
        self._attempt += 1


def _given(query: Query | None) -> dict[str, str | int | float]:
    return {name: value for name, value in (query or {}).items() if value is not None}


def asked_pause(error: Problem, unsaid: float = 1.0) -> float:
    """Seconds that the server asks to wait, or `unsaid`."""
    asked = error.details.get("retry_after")
    return float(asked) if isinstance(asked, (int, float)) and asked > 0 else unsaid


def _bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def _may_pass(error: Problem) -> bool:
    """Whether the same request may fare better in a moment."""
    return isinstance(error, Unavailable) or (isinstance(error, Refused) and error.reason == "in_flight")


@contextmanager
def _connection_errors(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise Unreachable(f"{url} did not answer in time", url=url) from error
    except httpx.RequestError as error:
        why = plain(str(error)) or "the connection broke"
        if "CERTIFICATE_VERIFY_FAILED" in why:
            why += "; if an authority of your own signed its certificate, name that one's in DG_CA_FILE"
        raise Unreachable(f"{url} cannot be reached: {why}", url=url) from error


def _read(response: httpx.Response) -> JSON:
    if not response.is_success:
        raise _problem(response)
    if response.status_code == 204:
        return None
    try:
        return response.json()
    except (ValueError, RecursionError) as error:
        raise Unintelligible(f"{response.url.host} answered without JSON: is that a dg server?") from error


def _problem(response: httpx.Response) -> Problem:
    try:
        body = clean(response.json(), opaque=True)
    except (ValueError, RecursionError):
        body = None
    error = problem(response.status_code, body)
    seconds = response.headers.get("Retry-After", "")
    if "retry_after" not in error.details and seconds.isdecimal():
        error.details = {**error.details, "retry_after": int(seconds)}
    return error
