"""API keys over HTTP: `/security/access/keys`."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from dg.api.call import Call, Handler, answer, items
from dg.core.access.models import Scope
from dg.core.types import Environment


async def list_keys(call: Call) -> Response:
    return items(await call.core.keys.list(call.principal))


async def create_key(call: Call) -> Response:
    issued = await call.core.keys.create(
        call.principal,
        name=call.body["name"],
        scopes=map(_scope, call.body["scopes"]),
        addresses=call.body.get("addresses", ()),
        ttl=call.body.get("ttl"),
        once=call.once,
    )
    return answer(issued, 201)


async def rotate_key(call: Call) -> Response:
    issued = await call.core.keys.rotate(
        call.principal,
        call.arguments["id"].lower(),
        overlap=call.body.get("overlap"),
        ttl=call.body.get("ttl"),
        once=call.once,
    )
    return answer(issued)


async def revoke_key(call: Call) -> Response:
    return answer(await call.core.keys.revoke(call.principal, call.arguments["id"].lower()))


def _scope(given: Mapping[str, str]) -> Scope:
    environment = given.get("environment")
    return Scope(
        role=given.get("role"),
        action=given.get("action"),
        environment=environment and Environment(environment),
        service=given.get("service"),
    )


HANDLERS: Mapping[str, Handler] = {
    "listKeys": list_keys,
    "createKey": create_key,
    "rotateKey": rotate_key,
    "revokeKey": revoke_key,
}
