"""Puts the bot together: `dg serve` opens it beside the API when the settings say so.

Nothing in the core waits for Slack. What cannot be reached is tried again, and said in `/health`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from random import SystemRandom
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

from dg.bot.acting import Acting
from dg.bot.auth import Doorkeeper
from dg.bot.budget import Budget
from dg.bot.client import Identity, SlackApi, SlackProblem, open_api
from dg.bot.credentials import Credentials
from dg.bot.drawing import Drawing
from dg.bot.homes import Homes
from dg.bot.listeners import Listeners
from dg.bot.posting import LOST_TOKEN, Posting
from dg.bot.preflight import examine_channel
from dg.bot.requests import Asgi, Dispatch, Requests
from dg.bot.sockets import Sockets
from dg.core.app import Core
from dg.core.outbox.models import Later, Message, Outcome
from dg.core.slack.routing import Routes
from dg.core.tasks import Tasks, open_tasks
from dg.settings import Settings

log = logging.getLogger(__name__)

_FIRST, _LONGEST = 1.0, 30.0
_LOOK = 5.0
_ELSEWHERE = "another workspace"


class Bot:
    """One workspace's bot. Made by `open_bot`."""

    def __init__(
        self, core: Core, settings: Settings, credentials: Credentials, api: SlackApi, tasks: Tasks
    ) -> None:
        self._core = core
        self._settings = settings.slack
        self._credentials = credentials
        self._api = api
        self._tasks = tasks
        self._identity: Identity | None = None
        self._team = ""
        self._app: AsyncApp | None = None
        self._listeners: Listeners | None = None
        self._posting: Posting | None = None
        self._sockets: Sockets | None = None
        self._trouble: str | None = "not connected yet"
        self._doubted = asyncio.Event()

    # --- how it goes

    def state(self) -> str:
        """`ok`, or what is wrong in a few words."""
        if trouble := self._trouble or (self._posting and self._posting.trouble):
            return trouble
        if self._sockets and not any(each.connected for each in self._sockets.vitals):
            refused = self._refused().get("app")
            return f"app token: {refused}" if refused else "no socket"
        return "ok"

    def _refused(self) -> dict[str, str]:
        """The tokens that Slack does not take, with its word for it."""
        found = {}
        trouble = self._trouble or (self._posting and self._posting.trouble)
        if trouble in LOST_TOKEN:
            found["bot"] = trouble
        sockets = self._sockets.vitals if self._sockets else ()
        if app := next((each.trouble for each in sockets if each.trouble in LOST_TOKEN), None):
            found["app"] = app
        return found

    def figures(self) -> dict[str, Any]:
        """For the diagnostics."""
        now = self._core.clock.monotonic()
        sockets = [
            {
                "connected": each.connected,
                "opened": each.opened,
                "heard": round(now - each.heard_at, 1) if each.opened else None,
                "last_end": each.trouble,
            }
            for each in (self._sockets.vitals if self._sockets else ())
        ]
        counted = self._posting.counted if self._posting else {}
        return {"mode": self._settings.mode, "state": self.state(), "sockets": sockets, **counted}

    # --- its life

    async def run(self) -> None:
        """Find out who the bot is, until Slack says it, and again whenever that is in doubt."""
        self._tasks.spawn("slack tokens", self._watch())
        while True:
            identity = await self._identify()
            if self._identity is None:
                self._begin(identity)
            if identity.team == self._team:
                self._trouble = None
                if self._posting:
                    self._posting.trust()
                self._core.messenger.wake()
                log.info("in Slack as %s of %s", identity.user, identity.name)
            else:
                self._trouble = _ELSEWHERE
                log.error(
                    "the bot's token is of another workspace, %s: start the server again", identity.name
                )
            await self._doubted.wait()
            self._doubted.clear()

    async def post(self, message: Message) -> Outcome:
        """Show how things are now, once it is known who the bot is."""
        if self._posting is None or self._trouble == _ELSEWHERE:
            return Later(_FIRST)
        return await self._posting.post(message)

    async def examine(self, channel: str) -> None:
        """Raise Invalid unless dg is in that channel, and only the own workspace reads it."""
        await examine_channel(self._api, channel)

    async def _watch(self) -> None:
        """Take up tokens that were put in the place of the old, and tell of those that Slack refuses."""
        told: dict[str, str] = {}
        while True:
            if await self._credentials.changed():
                await self._renew()
            told = await self._tell(told)
            await self._core.clock.sleep(_LOOK)

    async def _renew(self) -> None:
        log.info("the tokens for Slack were replaced")
        tokens = self._credentials.now
        self._api.renew(tokens.bot, tokens.app)
        if self._identity and self._listeners:
            # Whatever is under way goes on; what comes is held against the new signing secret.
            self._app = self._bolt(self._identity)
            self._listeners.listen(self._app)
        await self._core.messenger.resume()
        self._doubted.set()

    async def _tell(self, told: dict[str, str]) -> dict[str, str]:
        refused = self._refused()
        for token in sorted(told.keys() | refused.keys()):
            if (token in refused) != (token in told):
                await self._core.messenger.note_token(token, refused.get(token))
        return refused

    async def _identify(self) -> Identity:
        pause = _FIRST / 2
        while True:
            try:
                return await self._api.identify()
            except SlackProblem as problem:
                known, self._trouble = self._trouble == problem.code, problem.code
                if not known:
                    level = logging.ERROR if problem.code in LOST_TOKEN else logging.WARNING
                    log.log(level, "Slack does not say who the bot is: %s", problem.code)
            # A token that is refused may be replaced at any moment.
            longest = _LOOK if self._trouble in LOST_TOKEN else _LONGEST
            await self._core.clock.sleep(pause := min(longest, pause * 2))

    def _begin(self, identity: Identity) -> None:
        core, routes = self._core, Routes(self._settings)
        self._identity, self._team = identity, identity.team
        drawing = Drawing(core, identity.team, routes)
        self._posting = Posting(
            self._api, core.messenger, drawing, Budget(core.clock), core.clock, self._doubt
        )
        doorkeeper = Doorkeeper(core, self._api, identity, self._settings)
        acting = Acting(core, self._api, identity.team, drawing, routes)
        homes = Homes(core, self._api, doorkeeper, drawing.url)
        self._app = self._bolt(identity)
        self._listeners = Listeners(core, self._api, doorkeeper, acting, homes, self._lose)
        self._listeners.listen(self._app)
        self._tasks.spawn("slack user groups", doorkeeper.keep_groups())
        if self._settings.mode == "socket":
            count = self._settings.sockets
            self._sockets = Sockets(
                self._api, self._from_socket, core.clock, self._tasks, SystemRandom(), count
            )
            self._sockets.start()

    def _lose(self, why: str) -> None:
        self._trouble = why
        log.error("dg was taken out of Slack: %s", why)
        self._doubted.set()

    def _doubt(self) -> None:
        """Slack refused the bot's token: ask it who the bot is."""
        self._doubted.set()

    def _bolt(self, identity: Identity) -> AsyncApp:
        async def authorize(**_: Any) -> AuthorizeResult:
            # Asking Slack for each request would make every answer wait for it.
            return AuthorizeResult(
                enterprise_id=None,
                team_id=identity.team,
                bot_user_id=identity.user,
                bot_id=identity.bot,
                bot_token=self._credentials.now.bot,
            )

        return AsyncApp(
            logger=logging.getLogger("dg.bot.bolt"),
            client=self._api.client(None),
            signing_secret=self._credentials.now.signing_secret or "no requests are signed in this mode",
            authorize=authorize,
            raise_error_for_unhandled_request=False,
        )

    # --- what comes in

    async def _from_socket(self, envelope: Mapping[str, Any]) -> Any:
        """Handle one request of a socket; what its acknowledgement carries."""
        if self._app is None:
            return None
        headers: dict[str, str | Sequence[str]] = {}
        if envelope.get("retry_attempt"):
            headers["x-slack-retry-num"] = str(envelope["retry_attempt"])
        request = AsyncBoltRequest(mode="socket_mode", body=envelope.get("payload") or {}, headers=headers)
        answer: BoltResponse = await self._app.async_dispatch(request)
        if answer.status != 200:
            return None
        if not answer.body:
            return {}
        kind = answer.headers.get("content-type", [""])[0]
        return json.loads(answer.body) if kind.startswith("application/json") else {"text": answer.body}

    def around(self, inner: Asgi) -> Asgi:
        """The server's application with `/slack/events` before it, in the mode that needs it."""
        return Requests(inner, self._dispatch) if self._settings.mode == "http" else inner

    def _dispatch(self) -> Dispatch | None:
        return self._app.async_dispatch if self._app else None


@asynccontextmanager
async def open_bot(core: Core, settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Bot]:
    """The bot of these settings while the block runs. Raises Refused for tokens that are none."""
    credentials = Credentials(settings, environ)
    tokens = credentials.now
    async with (
        open_api(settings.slack.api_url, tokens.bot, tokens.app) as api,
        open_tasks() as tasks,
    ):
        bot = Bot(core, settings, credentials, api, tasks)
        await core.messenger.attach(bot)
        tasks.spawn("slack bot", bot.run())
        try:
            yield bot
        finally:
            core.messenger.detach()
