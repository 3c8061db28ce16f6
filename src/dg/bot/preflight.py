"""Looks whether Slack will work, before anybody relies on it: `dg slack setup` and `dg slack test`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from dg.bot.client import SlackApi, SlackProblem
from dg.bot.manifest import scopes
from dg.bot.messages import answers
from dg.core.errors import Invalid, Unavailable
from dg.settings.slack import Slack

_SHARED = ("is_ext_shared", "is_shared", "is_pending_ext_shared")
"""What Slack says of channels that others read, too, or may soon."""


class Check(NamedTuple):
    """One thing that was looked at; `remedy` is the way out where it is not right."""

    name: str
    good: bool
    message: str
    remedy: str = ""


async def examine(api: SlackApi, settings: Slack) -> AsyncIterator[Check]:
    """The tokens, what they are allowed, the socket, and each channel of the routes."""
    try:
        found = await api.identify()
    except SlackProblem as problem:
        yield Check(
            "bot token", False, f"Slack answers {problem.code}", "install the app, and take its token"
        )
        return
    yield Check("bot token", True, f"{found.user} in {found.name} ({found.team})")
    missing = sorted(set(scopes(settings)) - found.scopes)
    again = "take the manifest anew (dg slack manifest) and install the app again"
    yield Check("scopes", not missing, f"without {', '.join(missing)}" if missing else "all there", again)
    if settings.mode == "socket":
        yield await _socket(api)
    if not settings.routes:
        yield Check("routes", False, "no channel is told anything", "add [slack.routes.NAME] to server.toml")
    for name, route in settings.routes.items():
        yield await _channel(api, name, route.channel)


async def _socket(api: SlackApi) -> Check:
    try:
        await api.socket_url()
    except SlackProblem as problem:
        remedy = "make an app-level token with the scope connections:write"
        return Check("app token", False, f"Slack answers {problem.code}", remedy)
    return Check("app token", True, "a socket may be opened")


async def _channel(api: SlackApi, name: str, channel: str) -> Check:
    label = f"route {name}"
    try:
        found = (await api.call("conversations.info", channel=channel)).get("channel", {})
    except SlackProblem as problem:
        return Check(label, False, f"{channel}: {problem.code}", "invite dg there, or correct its id")
    shown = f"#{found.get('name', channel)}"
    if found.get("is_archived"):
        return Check(label, False, f"{shown} is archived", "route to another channel")
    if not found.get("is_member"):
        return Check(label, False, f"dg is not in {shown}", "type /invite @dg there")
    return Check(label, True, shown)


async def examine_channel(api: SlackApi, channel: str) -> None:
    """Raise Invalid unless dg is in that channel and only the own workspace reads it; else Unavailable."""
    try:
        found = (await api.call("conversations.info", channel=channel)).get("channel", {})
    except SlackProblem as problem:
        if problem.code == "channel_not_found":
            raise Invalid(
                f"channel: there is no {channel}, or it is private: type /invite @dg there", field="channel"
            ) from None
        raise Unavailable(f"Slack does not say what {channel} is: {problem.code}", reason="slack") from None
    if any(found.get(name) for name in _SHARED):
        raise Invalid(
            f"channel: {channel} is shared with another organization, which would read what is told",
            field="channel",
        )
    if found.get("is_archived") or not found.get("is_member"):
        raise Invalid(f"channel: dg is not in {channel}: type /invite @dg there", field="channel")


async def try_out(api: SlackApi, channel: str) -> str:
    """Post one message and edit it; its ts. Raises SlackProblem."""
    first = await api.call("chat.postMessage", channel=channel, **answers.said("A test of dg…").body())
    shown = answers.said(":white_check_mark: dg can post here, and edit what it posted.")
    await api.call("chat.update", channel=channel, ts=first["ts"], **shown.body())
    return str(first["ts"])
