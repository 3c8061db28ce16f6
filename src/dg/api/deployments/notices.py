"""Webhooks that come in: `/incoming-webhooks/{source}`."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from dg.api import json
from dg.api.call import Call, Handler, answer


async def receive_notice(call: Call) -> Response:
    """The signature is held against the bytes before anything reads them."""
    origin = call.principal.origin
    proof = await call.core.notices.prove(call.arguments["source"], call.headers, call.raw, origin)
    value = json.read(call.raw)
    return answer(await call.core.notices.accept(proof, call.headers, value, origin), 202)


HANDLERS: Mapping[str, Handler] = {"receiveNotice": receive_notice}
