"""Accounts in Slack and whose they are; channels that are muted, and what they subscribed to."""

from __future__ import annotations

from dg.client.http import Http, path
from dg.client.wire import decode, end
from dg.core.access.accounts import SlackCode, SlackLink
from dg.core.deployments.models import Page
from dg.core.slack.models import PostedHandover, Severity, SlackMute, SlackSubscription


class Slack:
    def __init__(self, http: Http) -> None:
        self._http = http

    async def code(self, code: str) -> SlackCode:
        """Which account was given this code. Raises NotFound."""
        return decode(SlackCode, await self._http.get(path("slack", "codes", code)))

    async def link(self, code: str, *, key: str | None = None) -> SlackLink:
        """Say that the account which was given this code is the caller's. Raises NotFound, Forbidden."""
        where, body = path("slack", "links"), {"code": code}
        return decode(SlackLink, await self._http.write("POST", where, body, key=key))

    async def links(self) -> tuple[SlackLink, ...]:
        """One's own accounts, and those of others that one may see."""
        return decode(Page[SlackLink], await self._http.get(path("slack", "links"))).items

    async def unlink(self, link_id: str) -> SlackLink:
        """Make an account nobody's. Raises NotFound, Forbidden."""
        return decode(SlackLink, await self._http.write("DELETE", path("slack", "links", link_id)))

    async def post_handover(
        self, text: str, *, channel: str | None = None, key: str | None = None
    ) -> PostedHandover:
        """Have a handover (Markdown) posted, in the first route's channel without one.

        Raises Refused (`slack_off`), Invalid, Forbidden.
        """
        body = {"text": text} | ({"channel": channel} if channel else {})
        return decode(
            PostedHandover, await self._http.write("POST", path("slack", "handovers"), body, key=key)
        )

    async def mutes(self) -> tuple[SlackMute, ...]:
        """The channels that are muted now."""
        return decode(Page[SlackMute], await self._http.get(path("slack", "mutes"))).items

    async def mute(
        self,
        channel: str,
        *,
        until: int | None = None,
        lasting: str | None = None,
        reason: str | None = None,
        key: str | None = None,
    ) -> SlackMute:
        """Tell a channel, by its id, only what cannot wait until then. Raises Forbidden, Invalid."""
        body = {"channel": channel, **end(until, lasting), **({"reason": reason} if reason else {})}
        return decode(SlackMute, await self._http.write("POST", path("slack", "mutes"), body, key=key))

    async def unmute(self, channel: str) -> SlackMute:
        """Tell a channel everything again. Raises NotFound, Forbidden."""
        return decode(SlackMute, await self._http.write("DELETE", path("slack", "mutes", channel)))

    async def subscriptions(self) -> tuple[SlackSubscription, ...]:
        """What channels are told beside the settings' routes, as far as one may see it."""
        return decode(Page[SlackSubscription], await self._http.get(path("slack", "subscriptions"))).items

    async def subscribe(
        self,
        channel: str,
        *,
        environment: str | None = None,
        service: str | None = None,
        severity: Severity | None = None,
        key: str | None = None,
    ) -> SlackSubscription:
        """Tell a channel, by its id, of these lanes, too; without either of all of a kind.

        Raises Refused (`slack_off`), Invalid, Forbidden, Unavailable.
        """
        wanted = {"channel": channel, "environment": environment, "service": service, "severity": severity}
        body = {name: value for name, value in wanted.items() if value is not None}
        where = path("slack", "subscriptions")
        return decode(SlackSubscription, await self._http.write("POST", where, body, key=key))

    async def unsubscribe(self, subscription_id: str) -> SlackSubscription:
        """End a subscription. Raises NotFound, Forbidden."""
        where = path("slack", "subscriptions", subscription_id)
        return decode(SlackSubscription, await self._http.write("DELETE", where))
