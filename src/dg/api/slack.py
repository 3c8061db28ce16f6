"""Slack: whose a code and an account is, which channels are muted, and what they subscribed to."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from dg.api import wire
from dg.api.call import Call, Handler, answer, ending, items
from dg.core.slack.models import MuteChannel, PostHandover, SubscribeChannel


async def get_slack_code(call: Call) -> Response:
    return answer(await call.core.accounts.find(call.principal, call.arguments["code"]))


async def list_slack_links(call: Call) -> Response:
    return items(await call.core.accounts.list(call.principal))


async def link_slack_account(call: Call) -> Response:
    return answer(await call.core.accounts.link(call.principal, call.body["code"], call.once), 201)


async def unlink_slack_account(call: Call) -> Response:
    return answer(await call.core.accounts.unlink(call.principal, call.arguments["id"].lower()))


async def post_handover(call: Call) -> Response:
    request = wire.read(PostHandover, call.body)
    return answer(await call.core.handovers.post(call.principal, request, call.once), 202)


async def list_slack_mutes(call: Call) -> Response:
    return items(await call.core.channels.mutes(call.principal))


async def mute_slack_channel(call: Call) -> Response:
    request = wire.read(MuteChannel, ending(call))
    return answer(await call.core.channels.mute(call.principal, request, call.once), 201)


async def unmute_slack_channel(call: Call) -> Response:
    return answer(await call.core.channels.unmute(call.principal, call.arguments["channel"]))


async def list_slack_subscriptions(call: Call) -> Response:
    return items(await call.core.subscriptions.list(call.principal))


async def subscribe_slack_channel(call: Call) -> Response:
    request = wire.read(SubscribeChannel, call.body)
    return answer(await call.core.subscriptions.subscribe(call.principal, request, call.once), 201)


async def unsubscribe_slack_channel(call: Call) -> Response:
    return answer(await call.core.subscriptions.unsubscribe(call.principal, call.arguments["id"].lower()))


HANDLERS: Mapping[str, Handler] = {
    "getSlackCode": get_slack_code,
    "listSlackLinks": list_slack_links,
    "linkSlackAccount": link_slack_account,
    "postHandover": post_handover,
    "unlinkSlackAccount": unlink_slack_account,
    "listSlackMutes": list_slack_mutes,
    "muteSlackChannel": mute_slack_channel,
    "unmuteSlackChannel": unmute_slack_channel,
    "listSlackSubscriptions": list_slack_subscriptions,
    "subscribeSlackChannel": subscribe_slack_channel,
    "unsubscribeSlackChannel": unsubscribe_slack_channel,
}
