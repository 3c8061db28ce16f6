"""What Slack sends, whichever way it comes: acknowledged first, then done, then answered to whoever asked."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from html import unescape
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from dg.bot.acting import Acting, Asked
from dg.bot.auth import Doorkeeper, Seen, account_of, name_of
from dg.bot.client import SlackApi, SlackProblem
from dg.bot.homes import Homes
from dg.bot.messages import answers, modals
from dg.bot.messages import deployments as shown
from dg.bot.messages.blocks import Rendered
from dg.bot.messages.home import REFRESH
from dg.core.access.models import Principal
from dg.core.app import Core
from dg.core.errors import Problem
from dg.core.grammar.verbs import BY_NAME, Kind
from dg.core.slack.messenger import Messenger

log = logging.getLogger(__name__)

Body = Mapping[str, Any]
Click = Callable[[Asked, str, str], Awaitable[Rendered | None]]

OURS = re.compile("^dg_")
_LINKS = re.compile(r"^\s*(link|unlink)\s*$", re.IGNORECASE)
_MARKED = re.compile(r"<(?:[@#!][^|>]*\|([^>]*)|(?:https?|mailto)[^|>]*\|([^>]*)|([^>]*))>")
_CHANNEL = re.compile(r"<#([CG][A-Z0-9]{1,20})(?:\|[^>]*)?>")
_LONGEST_VALUE = 200
_CHANNELS_BACK = ("channel_unarchive", "group_unarchive", "member_joined_channel")
_GROUPS = re.compile("^subteam_")
_GONE = ("app_uninstalled", "tokens_revoked")


class Listeners:
    """One workspace's requests."""

    def __init__(
        self,
        core: Core,
        api: SlackApi,
        doorkeeper: Doorkeeper,
        acting: Acting,
        homes: Homes,
        lost: Callable[[str], None],
    ) -> None:
        self._core = core
        self._api = api
        self._doorkeeper = doorkeeper
        self._acting = acting
        self._homes = homes
        self._lost = lost
        self._seen = Seen()
        self._clicks: dict[str, Click] = {
            shown.APPROVE: acting.approve,
            shown.REJECT: acting.ask_to_reject,
            shown.CANCEL: acting.cancel,
            shown.RETRY: acting.retry,
            shown.ROLL_BACK: acting.ask_to_roll_back,
            shown.UNLOCK: acting.unlock,
        }

    def listen(self, app: AsyncApp) -> None:
        """Register everything that is listened to; what is not is acknowledged, so that nobody waits."""
        app.command(re.compile("^/"))(self.command)
        app.action(OURS)(self.click)
        app.view(OURS)(self.submission)
        app.event("app_home_opened")(self.home_opened)
        app.event("link_shared")(self.link_shared)
        app.event("user_change")(self.user_changed)
        app.event(_GROUPS)(self.group_changed)
        for name in _CHANNELS_BACK:
            app.event(name)(self.channel_back)
        for name in _GONE:
            app.event(name)(self.gone)
        app.action(re.compile(".*"))(self.unknown_click)
        app.event(re.compile(".*"))(acknowledge)
        app.view_closed(re.compile(".*"))(acknowledge)

    # --- commands

    async def command(self, ack: AsyncAck, body: Body) -> None:
        await ack()
        key = f"command:{body.get('trigger_id') or self._core.clock.micros()}"
        if not self._seen.is_new(key):
            return
        line = as_typed(str(body.get("text") or ""))

        async def act(asked: Asked) -> Rendered | None:
            return await self._acting.command(asked, line)

        answer: Rendered | None
        if (word := _LINKS.match(line)) is not None:
            answer = await self._link(body, unlink=word[1].lower() == "unlink")
        else:
            answer = await self._guarded(body, key, act)
        await self._tell(body, answer)

    async def _link(self, body: Body, *, unlink: bool) -> Rendered:
        account = account_of(body)
        try:
            found = await self._doorkeeper.let_in(account)
            if unlink:
                by = found if isinstance(found, Principal) else self._core.accounts.guest(account, "")
                ended = await self._core.accounts.end(account, by)
                return answers.said("You are nobody to dg now." if ended else "You were nobody to dg before.")
            if self._doorkeeper.is_foreign(account):
                return answers.stranger()
            code = await self._core.accounts.ask(account, name_of(body))
            return answers.link(code, self._core.settings.server.public_url)
        except Problem as problem:
            return answers.problem(problem.message)

    # --- clicks

    async def click(self, ack: AsyncAck, body: Body, action: Body) -> None:
        await ack()
        name, value = str(action.get("action_id")), str(action.get("value") or "")
        key = f"click:{account_of(body).user}:{name}:{action.get('action_ts')}"
        if not self._seen.is_new(key):
            return
        if name == REFRESH:
            await self._homes.show(account_of(body))
            return
        object_id, _, stamp = value[:_LONGEST_VALUE].rpartition(":")
        click = self._clicks.get(name)

        async def act(asked: Asked) -> Rendered | None:
            return await click(asked, object_id, stamp) if click else answers.older()

        await self._tell(body, await self._guarded(body, key, act))
        if body.get("view"):
            await self._homes.show(account_of(body))

    async def unknown_click(self, ack: AsyncAck, body: Body) -> None:
        """A button that this server does not know: of an older dg, or of a newer one."""
        await ack()
        await self._tell(body, answers.older())

    # --- modals

    async def submission(self, ack: AsyncAck, body: Body, view: Body) -> None:
        """Check what was typed, take the modal, and show in it what became of it."""
        ids, typed = _ids(view), modals.typed(view)
        if mistakes := modals.mistakes(ids, typed):
            await ack(response_action="errors", errors=mistakes)
            return
        await ack(response_action="update", view=modals.outcome(":hourglass_flowing_sand: One moment…"))
        key = f"view:{view.get('id')}"
        if not self._seen.is_new(key):
            return

        async def act(asked: Asked) -> Rendered | None:
            return await self._acting.submitted(asked, str(view.get("callback_id")), ids, typed)

        answer = await self._guarded(body, key, act)
        if answer is not None:
            await self._call("views.update", view_id=view.get("id"), view=modals.outcome(answer.text))

    # --- events

    async def home_opened(self, body: Body) -> None:
        event = body.get("event") or {}
        if event.get("tab", "home") == "home":
            await self._homes.show(account_of(body))

    async def link_shared(self, body: Body) -> None:
        """Show what a link to a deployment leads to, where whoever posted it may see that."""
        event = body.get("event") or {}
        try:
            who = await self._doorkeeper.let_in(account_of(body))
            if not isinstance(who, Principal):
                return
            shown = await self._acting.unfurl(who, [str(each.get("url")) for each in event.get("links", ())])
        except Problem as problem:
            log.warning("links could not be shown: %s", problem.message)
            return
        if shown:
            where = {"channel": event.get("channel"), "ts": event.get("message_ts")}
            await self._call("chat.unfurl", **where, unfurls=shown)

    async def user_changed(self, body: Body) -> None:
        """Somebody who has left the workspace is nobody here at once."""
        user = (body.get("event") or {}).get("user") or {}
        if user.get("deleted") is True:
            account = account_of({"user": {"id": user.get("id"), "team_id": body.get("team_id")}})
            await self._core.accounts.end(account, self._core.accounts.guest(account, "Slack"))

    async def group_changed(self, ack: AsyncAck) -> None:
        """Who is in which user group is read again."""
        await ack()
        self._doorkeeper.regroup()

    async def channel_back(self, body: Body) -> None:
        """Something may be said in a channel again: dg was invited, or it is no archive any more."""
        event = body.get("event") or {}
        if channel := event.get("channel"):
            await self._messenger.reopen(str(channel))

    async def gone(self, body: Body) -> None:
        """The app was removed from the workspace, or its tokens were."""
        self._lost(str((body.get("event") or {}).get("type")))

    @property
    def _messenger(self) -> Messenger:
        return self._core.messenger

    # --- shared

    async def _guarded(
        self, body: Body, key: str, act: Callable[[Asked], Awaitable[Rendered | None]]
    ) -> Rendered | None:
        """Do it as whoever asks, and turn what stands against it into words."""
        try:
            who = await self._doorkeeper.let_in(account_of(body), key)
            if isinstance(who, Rendered):
                return who
            asked = Asked(who, _channel(body), str(body.get("trigger_id") or ""), key)
        except Problem as problem:
            return answers.problem(problem.message)
        try:
            return await act(asked)
        except Problem as problem:
            return await self._acting.refused(asked, problem)
        except SlackProblem as problem:
            return answers.problem(f"Slack did not open the form ({problem.code}): ask again.")
        except Exception:
            log.exception("a request from Slack failed")
            return answers.problem("dg failed at this; its log has the cause.")

    async def _tell(self, body: Body, answer: Rendered | None) -> None:
        """Answer the one who asked, and nobody else."""
        if answer is None:
            return
        try:
            if url := body.get("response_url"):
                said = {"response_type": "ephemeral", "replace_original": False, **answer.body()}
                await self._api.respond(str(url), said)
            elif trigger := body.get("trigger_id"):
                await self._api.call("views.open", trigger_id=trigger, view=modals.outcome(answer.text))
        except SlackProblem as problem:
            log.warning("an answer did not reach Slack: %s", problem.code)

    async def _call(self, method: str, **arguments: Any) -> None:
        try:
            await self._api.call(method, **arguments)
        except SlackProblem as problem:
            log.warning("%s failed: %s", method, problem.code)


async def acknowledge(ack: AsyncAck) -> None:
    await ack()


def as_typed(text: str) -> str:
    """What a person typed, without what Slack made of it: `<http://v1.4|v1.4>`, `&lt;`."""
    named = BY_NAME.get(text.split(maxsplit=1)[0].lower()) if text.strip() else None
    if named is not None and any(slot.kind is Kind.CHANNEL for slot in named.slots):
        text = _CHANNEL.sub(r"#\1", text, count=1)
    return unescape(_MARKED.sub(lambda found: next(filter(None, found.groups()), ""), text))


def _channel(body: Body) -> str:
    channel = body.get("channel")
    if isinstance(channel, Mapping):
        return str(channel.get("id") or "")
    return str(body.get("channel_id") or "")


def _ids(view: Body) -> dict[str, str]:
    """The ids that a modal carries; Slack signed for them, and what they are for is checked again."""
    try:
        found = json.loads(str(view.get("private_metadata") or "{}"))
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}
