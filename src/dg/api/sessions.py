"""Logins and sessions: the program that asks, the person who lets it in, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from dg.api import wire
from dg.api.call import Call, Handler, answer, items
from dg.core.access.sessions import ApproveLogin


async def ask_for_login(call: Call) -> Response:
    device = await call.core.logins.ask(
        call.principal.origin, name=call.body.get("name", ""), host=call.body.get("host", "")
    )
    return answer(device, 201)


async def collect_tokens(call: Call) -> Response:
    return answer(await call.core.logins.collect(call.body["device_code"], call.principal.origin))


async def refresh_tokens(call: Call) -> Response:
    return answer(await call.core.sessions.refresh(call.body["refresh_token"], call.principal.origin))


async def get_login(call: Call) -> Response:
    return answer(await call.core.logins.get(call.principal, call.arguments["user_code"]))


async def approve_login(call: Call) -> Response:
    request = wire.read(ApproveLogin, call.body)
    return answer(
        await call.core.logins.approve(call.principal, call.arguments["user_code"], request, call.once)
    )


async def deny_login(call: Call) -> Response:
    return answer(await call.core.logins.deny(call.principal, call.arguments["user_code"], key=call.once))


async def list_sessions(call: Call) -> Response:
    return items(await call.core.sessions.list(call.principal))


async def revoke_session(call: Call) -> Response:
    return answer(await call.core.sessions.revoke(call.principal, call.arguments["id"].lower()))


HANDLERS: Mapping[str, Handler] = {
    "askForLogin": ask_for_login,
    "collectTokens": collect_tokens,
    "refreshTokens": refresh_tokens,
    "getLogin": get_login,
    "approveLogin": approve_login,
    "denyLogin": deny_login,
    "listSessions": list_sessions,
    "revokeSession": revoke_session,
}
