"""Accounts in Slack: whose a code is, and whose an account is."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from dg.api.call import Call, Handler, answer, items


async def get_slack_code(call: Call) -> Response:
    return answer(await call.core.accounts.find(call.principal, call.arguments["code"]))


async def list_slack_links(call: Call) -> Response:
    return items(await call.core.accounts.list(call.principal))


async def link_slack_account(call: Call) -> Response:
    return answer(await call.core.accounts.link(call.principal, call.body["code"], call.once), 201)


async def unlink_slack_account(call: Call) -> Response:
    return answer(await call.core.accounts.unlink(call.principal, call.arguments["id"].lower()))


HANDLERS: Mapping[str, Handler] = {
    "getSlackCode": get_slack_code,
    "listSlackLinks": list_slack_links,
    "linkSlackAccount": link_slack_account,
    "unlinkSlackAccount": unlink_slack_account,
}
