"""What goes to the app: once for commands and interactions, again and again for events."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections import deque
from typing import Any
from urllib.parse import urlencode

import aiohttp

from dg.core.tasks import Tasks
from dg.slacksim.answers import ACK_SECONDS, Answer, Delivery, Kind
from dg.slacksim.faults import Faults
from dg.slacksim.sockets import Sockets
from dg.slacksim.timing import within
from dg.slacksim.workspace import Workspace

RETRY_AFTER = (0.0, 60.0, 300.0)
"""Seconds before an event comes again, the first time at once."""

MOST_ANSWER = 1_000_000
MOST_KEPT = 200


class SignedHttp:
    """Requests to the app, signed with its secret."""

    def __init__(
        self, slack: Workspace, tasks: Tasks, faults: Faults, session: aiohttp.ClientSession
    ) -> None:
        self._slack = slack
        self._tasks = tasks
        self._faults = faults
        self._session = session

    async def send(self, kind: Kind, payload: dict[str, Any], attempt: int = 0, reason: str = "") -> Answer:
        """One request, and what the app made of it within three seconds."""
        content_type, body = encoded(kind, payload)
        headers = {"Content-Type": content_type, **self._signature(kind, body)}
        if attempt:
            headers |= {"X-Slack-Retry-Num": str(attempt), "X-Slack-Retry-Reason": reason}
        began = self._slack.clock.monotonic()
        task = self._tasks.spawn(f"send {kind}", self._post(body, headers))
        try:
            answer = await within(self._slack.clock, ACK_SECONDS, task)
        except TimeoutError:
            task.cancel()
            return Answer("timeout", seconds=ACK_SECONDS)
        return Answer(**{**answer, "seconds": self._slack.clock.monotonic() - began})

    async def _post(self, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
        url = self._slack.app.request_url
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                content = await response.content.read(MOST_ANSWER)
                return _understood(response, content)
        except (aiohttp.ClientError, ValueError, OSError):
            return {"error": "connection_failed"}

    def _signature(self, kind: Kind, body: bytes) -> dict[str, str]:
        skew = self._faults.take(kind, "skew")
        at = str(self._slack.now() + int(skew.seconds if skew else 0))
        secret = self._slack.app.signing_secret
        if self._faults.take(kind, "forged"):
            secret = f"not {secret}"
        return {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": signature(secret, at, body)}


def signature(secret: str, at: str, body: bytes) -> str:
    """Slack's signature of version 0."""
    return "v0=" + hmac.new(secret.encode(), f"v0:{at}:".encode() + body, hashlib.sha256).hexdigest()


def encoded(kind: Kind, payload: dict[str, Any]) -> tuple[str, bytes]:
    """Content type and body: commands are forms, interactions JSON in a form, events JSON."""
    if kind == "events_api":
        return "application/json", json.dumps(payload).encode()
    fields = payload if kind == "slash_commands" else {"payload": json.dumps(payload)}
    return "application/x-www-form-urlencoded", urlencode(fields).encode()


def _understood(response: aiohttp.ClientResponse, content: bytes) -> dict[str, Any]:
    retry = response.headers.get("X-Slack-No-Retry") != "1"
    text = content.decode("utf-8", "replace")
    body: Any = text or None
    if response.content_type == "application/json":
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = text
    error = "" if 200 <= response.status < 300 else "http_error"
    return {"error": error, "status": response.status, "body": body, "retry": retry}


class Deliveries:
    """Sends over the transport that the app has, and keeps what became of it."""

    def __init__(
        self,
        slack: Workspace,
        tasks: Tasks,
        faults: Faults,
        sockets: Sockets,
        http: SignedHttp,
        retry_after: tuple[float, ...] = RETRY_AFTER,
    ) -> None:
        self._slack = slack
        self._tasks = tasks
        self._faults = faults
        self._sockets = sockets
        self._http = http
        self._retry_after = retry_after
        self.log: deque[Delivery] = deque(maxlen=MOST_KEPT)

    async def once(self, kind: Kind, payload: dict[str, Any]) -> Delivery:
        """Send a command or an interaction, of which a person waits for the end."""
        delivery = self._keep(kind, payload)
        twice = self._faults.take(kind, "duplicate")
        again = self._tasks.spawn(f"{kind} again", self._attempt(kind, payload)) if twice else None
        delivery.answers.append(await self._attempt(kind, payload))
        if again is not None:
            delivery.answers.insert(0, await again)
        return delivery

    async def verify_url(self) -> bool:
        """Whether the request URL gives a challenge back, as Slack asks when the URL is set."""
        challenge = secrets.token_hex(16)
        asked = {"type": "url_verification", "token": "slack-sim", "challenge": challenge}
        answer = await self._http.send("events_api", asked)
        said = answer.body.get("challenge") if isinstance(answer.body, dict) else answer.body
        return answer.ok and said == challenge

    async def event(self, payload: dict[str, Any]) -> Delivery:
        """Send an event; gives the first attempt's end, while others may follow."""
        delivery = self._keep("events_api", payload)
        answer = await self._attempt("events_api", payload)
        delivery.answers.append(answer)
        if self._faults.take("events_api", "duplicate"):
            delivery.answers.append(await self._attempt("events_api", payload, 1, "timeout"))
        elif not answer.ok and answer.retry:
            self._tasks.spawn("events come again", self._retry(delivery))
        return delivery

    async def _retry(self, delivery: Delivery) -> None:
        for attempt, seconds in enumerate(self._retry_after, 1):
            await self._slack.clock.sleep(seconds)
            reason = self._reason(delivery.answer)
            answer = await self._attempt(delivery.kind, delivery.payload, attempt, reason)
            delivery.answers.append(answer)
            self._slack.changed()
            if answer.ok or not answer.retry:
                return

    async def _attempt(
        self, kind: Kind, payload: dict[str, Any], attempt: int = 0, reason: str = ""
    ) -> Answer:
        if self._faults.take(kind, "lost"):
            await self._slack.clock.sleep(ACK_SECONDS)
            return Answer("timeout", seconds=ACK_SECONDS)
        if self._slack.app.transport == "socket":
            return await self._sockets.send(kind, payload, attempt, reason)
        return await self._http.send(kind, payload, attempt, reason)

    def _reason(self, answer: Answer) -> str:
        """Slack's word for why an event comes again."""
        if answer.error == "timeout":
            return "http_timeout" if self._slack.app.transport == "http" else "timeout"
        return "http_error" if answer.error == "http_error" else "connection_failed"

    def _keep(self, kind: Kind, payload: dict[str, Any]) -> Delivery:
        delivery = Delivery(kind, payload)
        self.log.append(delivery)
        return delivery
