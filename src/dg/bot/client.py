"""Slack's methods: one session for all of them, no retries of the SDK's own, one kind of error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

_TIMEOUT = 5.0
_HOOKS = "hooks.slack.com"
_LEAST_PAUSE = 1.0


class SlackProblem(Exception):
    """Slack did not do it. `code` is Slack's own word, or `unreachable`.

    `ambiguous` says that it may have been done all the same; `retry_after` (seconds) when to ask again.
    """

    def __init__(self, code: str, *, ambiguous: bool = False, retry_after: float | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.ambiguous = ambiguous
        self.retry_after = retry_after


@dataclass(frozen=True)
class Identity:
    """Who the bot is there: what `auth.test` says."""

    team: str
    user: str
    bot: str
    name: str
    url: str
    scopes: frozenset[str]


class SlackApi:
    """The methods of one workspace. Made by `open_api`."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, token: str, app_token: str) -> None:
        self.session = session
        self._base_url = base_url
        self._host = urlsplit(base_url).netloc
        self._token = token
        self._app_token = app_token

    def renew(self, token: str, app_token: str) -> None:
        """Call with these tokens from now on."""
        self._token, self._app_token = token, app_token

    def client(self, token: str | None) -> AsyncWebClient:
        """A client of the SDK over the same session."""
        return AsyncWebClient(
            token=token, base_url=self._base_url, session=self.session, retry_handlers=[], timeout=5
        )

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Call a method. Raises SlackProblem."""
        return (await self._call(self._token, method, arguments))[0]

    async def identify(self) -> Identity:
        """Who the bot is. Raises SlackProblem."""
        found, headers = await self._call(self._token, "auth.test", {})
        granted = next((value for name, value in headers.items() if name.lower() == "x-oauth-scopes"), "")
        return Identity(
            team=str(found["team_id"]),
            user=str(found["user_id"]),
            bot=str(found.get("bot_id", "")),
            name=str(found.get("team", "")),
            url=str(found.get("url", "")),
            scopes=frozenset(filter(None, map(str.strip, granted.split(",")))),
        )

    async def socket_url(self) -> str:
        """A fresh address for a socket: it is good once. Raises SlackProblem."""
        return str((await self._call(self._app_token, "apps.connections.open", {}))[0]["url"])

    async def respond(self, url: str, body: Mapping[str, Any]) -> None:
        """Answer to the address that came with a request. Raises SlackProblem, for any other address too."""
        if urlsplit(url).netloc not in (_HOOKS, self._host):
            raise SlackProblem("not_slack")
        try:
            async with self.session.post(url, json=dict(body)) as answer:
                if answer.status >= 400:
                    raise SlackProblem(f"status_{answer.status}", ambiguous=answer.status >= 500)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise SlackProblem("unreachable", ambiguous=True) from error

    async def _call(
        self, token: str, method: str, arguments: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Mapping[str, str]]:
        try:
            answer = await self.client(token).api_call(method, json=dict(arguments))
        except SlackApiError as error:
            raise _problem(error) from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise SlackProblem("unreachable", ambiguous=True) from error
        data = answer.data if isinstance(answer.data, dict) else {}
        return data, answer.headers


def _problem(error: SlackApiError) -> SlackProblem:
    answer = error.response
    status = int(getattr(answer, "status_code", 0) or 0)
    data = getattr(answer, "data", None)
    code = str(data.get("error", "")) if isinstance(data, dict) else ""
    if status == 429 or code == "ratelimited":
        headers = getattr(answer, "headers", None) or {}
        asked = next((value for name, value in headers.items() if name.lower() == "retry-after"), "1")
        wait = max(_LEAST_PAUSE, float(asked)) if str(asked).isdigit() else _LEAST_PAUSE
        return SlackProblem("ratelimited", retry_after=wait)
    unsure = status >= 500 or code in ("", "fatal_error", "internal_error", "request_timeout")
    return SlackProblem(code or f"status_{status}", ambiguous=unsure)


@asynccontextmanager
async def open_api(base_url: str, token: str, app_token: str = "") -> AsyncIterator[SlackApi]:
    """The methods of the workspace whose tokens these are, over one session."""
    # Its cookies and proxies of the environment are none of Slack's business.
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=_TIMEOUT),
        connector=aiohttp.TCPConnector(limit=16, keepalive_timeout=30),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield SlackApi(session, base_url, token, app_token)
