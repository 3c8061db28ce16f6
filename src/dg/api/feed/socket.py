"""`/ws/deployments`: the specification's WebSocket, which can also resume.

The first message authenticates: `{"type": "auth", "token": ..., "after": N}`; with `after`, the facts behind
`N` come first, none left out. The same message again renews the token before it ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.types import Receive, Scope, Send

from dg.api import auth, errors, headers, json, limits
from dg.api.contract import Schema, refuse
from dg.api.feed.hub import Client, Hub
from dg.api.feed.messages import message
from dg.core.access.models import Action, Origin, Principal
from dg.core.clock import SECOND
from dg.core.errors import Forbidden, Invalid, Problem, Unauthenticated

if TYPE_CHECKING:
    from dg.api.call import Lingering
    from dg.api.limits import Limits, Spent
    from dg.core.app import Core
    from dg.settings import Settings

PATH = "/ws/deployments"
EXTENSION = "dg.transport"
"""Where `server.WebSocketProtocol` puts the transport into the scope's extensions."""

PAGE = 500
AUTH = Schema(
    {
        "type": "object",
        "required": ["type", "token"],
        "additionalProperties": False,
        "properties": {
            "type": {"enum": ["auth"]},
            "token": {"type": "string", "maxLength": auth.MAX_CREDENTIAL},
            "after": {"type": "integer", "minimum": 0},
        },
    },
    {},
)

UNAUTHORIZED, FORBIDDEN = 4401, 4403
BAD_TYPE, BAD_DATA, POLICY, FAILED, RESTART, LATER = 1003, 1007, 1008, 1011, 1012, 1013


class Closed(Exception):
    """The end: with `code` and a sentence that fits a close frame, or because the peer left (code 0)."""

    def __init__(self, code: int, sentence: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence.encode()[:120].decode(errors="ignore")


class Socket:
    """One connection."""

    def __init__(
        self,
        core: Core,
        settings: Settings,
        hub: Hub,
        lingering: Lingering,
        rates: Limits,
        origin: Origin,
        address: str | None,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._core = core
        self._settings = settings
        self._hub = hub
        self._lingering = lingering
        self._limits = rates
        self._origin = origin
        self._address = address
        self._transport = scope["extensions"][EXTENSION]
        self._receive = receive
        self._send = send
        self._credential = ""
        self._recheck = auth.recheck()

    async def serve(self) -> None:
        """Accept, authenticate, catch up, stay. Ends when either side closes."""
        await self._receive()
        said = headers.finished([(b"x-request-id", self._origin.request_id.encode())])
        await self._send({"type": "websocket.accept", "headers": said})
        try:
            await self._run()
        except Closed as end:
            if end.code:
                await self._send({"type": "websocket.close", "code": end.code, "reason": end.sentence})

    async def _run(self) -> None:
        hello = await self._hello()
        principal = await self._enter(hello["token"])
        client = Client(principal, self._transport)
        self._hub.join(client)
        try:
            await self._catch_up(client, hello.get("after"))
            self._hub.live(client)
            await self._stay(client)
        finally:
            self._hub.leave(client)

    async def _hello(self) -> dict[str, Any]:
        try:
            async with self._lingering.wait(self._settings.api.ws_auth_timeout):
                return self._parse(await self._receive())
        except TimeoutError:
            self._end_if_stopping()
            raise Closed(UNAUTHORIZED, 'send {"type":"auth","token":...} first') from None

    def _parse(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The auth message in an ASGI event; it is the only one that clients send."""
        if event["type"] == "websocket.disconnect":
            raise Closed(0)
        text = event.get("text")
        if text is None:
            raise Closed(BAD_TYPE, "messages are JSON text")
        try:
            value = json.read(text.encode("utf-8", "surrogatepass"))
        except Invalid as error:
            raise Closed(BAD_DATA, error.message) from None
        try:
            refuse(AUTH.mistakes(value))
        except Invalid as error:
            raise Closed(POLICY, error.message) from None
        found: dict[str, Any] = value
        return found

    async def _enter(self, credential: str) -> Principal:
        """Who has come, counted as a stream of theirs or as a failure of their address."""
        _check(self._limits.check_failures(self._address, credential))
        try:
            principal = await self._authenticate(credential)
        except Closed as end:
            if end.code == UNAUTHORIZED:
                _check(self._limits.failed(self._address, credential))
            raise
        _check(self._limits.spend(limits.STREAM, principal.id))
        return principal

    async def _authenticate(self, credential: str) -> Principal:
        try:
            principal = await self._core.access.authenticate(auth.vetted(credential), self._origin)
            if not principal.reaches(Action.EVENT_READ):
                raise Forbidden("this token may not read events")
        except Unauthenticated as error:
            raise Closed(UNAUTHORIZED, error.message) from None
        except Forbidden as error:
            raise Closed(FORBIDDEN, error.message) from None
        except Problem as error:
            raise Closed(LATER, error.message) from None
        self._credential = credential
        return principal

    async def _catch_up(self, client: Client, after: int | None) -> None:
        """Send what happened behind `after` (None is now); the hub keeps what happens meanwhile."""
        client.seq = (await self._core.feed.head(client.principal)).seq if after is None else after
        full = after is not None
        while full:
            page = await self._core.feed.read(client.principal, after=client.seq, limit=PAGE)
            for entry in page:
                if (text := message(entry)) is not None:
                    await self._send({"type": "websocket.send", "text": text.decode()})
                client.seq = entry.seq
            full = len(page) == PAGE

    async def _stay(self, client: Client) -> None:
        """Until the peer leaves, its token ends or the server stops."""
        while True:
            try:
                async with self._lingering.wait(self._patience()):
                    event = await self._receive()
            except TimeoutError:
                self._end_if_stopping()
                await self._renew(client, self._credential)
                continue
            await self._renew(client, self._parse(event)["token"])

    async def _renew(self, client: Client, credential: str) -> None:
        """Look at the token again, or at a fresh one; what the client may see follows it."""
        principal = await self._authenticate(credential)
        if principal.grants != client.principal.grants:
            self._hub.leave(client)
            client.principal = principal
            self._hub.join(client)

    def _patience(self) -> float:
        end = auth.expiry(self._credential)
        if end is None:
            return self._recheck
        return min(self._recheck, max(0.2, end - self._core.clock.micros() / SECOND))

    def _end_if_stopping(self) -> None:
        if self._lingering.stopping:
            raise Closed(RESTART, "the server stops; connect again")


def _check(spent: Spent | None) -> None:
    """Raises Closed for one too many."""
    if spent and spent.refusal:
        raise Closed(LATER, spent.refusal.message)


async def reject(send: Send, problem: Problem, request_id: str) -> None:
    """Answer a handshake with what is wrong instead."""
    body = errors.envelope(problem, request_id)
    own = {
        "content-type": json.MEDIA_TYPE,
        "content-length": str(len(body)),
        "x-request-id": request_id,
        **errors.headers(problem),
    }
    fields = headers.finished((name.encode(), value.encode()) for name, value in own.items())
    await send({"type": "websocket.http.response.start", "status": problem.status, "headers": fields})
    await send({"type": "websocket.http.response.body", "body": body})
