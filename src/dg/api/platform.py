"""What belongs to no domain: the chain of events, tokens, versions, health, metrics, diagnostics."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from starlette.responses import Response

from dg import __version__
from dg.api import contract, json, wire
from dg.api.call import Call, Handler, answer, items
from dg.api.conditional import Representation, conditional
from dg.api.feed.stream import list_events
from dg.api.metrics import CONTENT_TYPE
from dg.api.versions import CURRENT
from dg.core.access.models import GIVEN
from dg.core.types import Environment


async def verify_events(call: Call) -> Response:
    return answer(await call.core.feed.verify(call.principal))


async def list_tokens(call: Call) -> Response:
    return items(await call.core.tokens.list(call.principal))


async def create_token(call: Call) -> Response:
    environment = call.body.get("environment")
    issued = await call.core.tokens.create(
        call.principal,
        name=call.body["name"],
        role=call.body["role"],
        kind=call.body.get("kind", "service"),
        environment=environment and Environment(environment),
        service=call.body.get("service"),
        ttl=call.body.get("ttl"),
        person=call.body.get("person"),
        once=call.once,
    )
    return answer(issued, 201)


async def revoke_token(call: Call) -> Response:
    return answer(await call.core.tokens.revoke(call.principal, call.arguments["id"].lower()))


async def whoami(call: Call) -> Response:
    said = wire.plain(call.principal)
    for grant, told in zip(call.principal.grants, said["grants"], strict=True):
        if grant.role not in GIVEN:
            # Everybody may know what they may, also who may not read roles.
            told["actions"] = sorted(grant.actions)
    return answer(said)


async def list_versions(call: Call) -> Response:
    versions = {
        "current": CURRENT,
        "supported": call.versions.supported,
        "server": __version__,
        "contracts": contract.NAMES,
        "deprecations": call.versions.deprecations(),
    }
    return answer(versions)


async def list_limits(call: Call) -> Response:
    return items(call.limits.standings(call.principal.id))


async def get_contract(call: Call) -> Response:
    return conditional(call, _contract(call.arguments["file"]))


@cache
def _contract(file: str) -> Representation:
    name, _, form = file.rpartition(".")
    if form == "json":
        return Representation.of(json.write(contract.load(name)), json.MEDIA_TYPE)
    return Representation.of(contract.source(name), "application/yaml")


async def get_health(call: Call) -> Response:
    return answer(await call.core.system.health())


async def get_metrics(call: Call) -> Response:
    text = call.metrics.text(await call.core.system.diagnostics(call.principal))
    return Response(text, headers={"content-type": CONTENT_TYPE})


async def get_diagnostics(call: Call) -> Response:
    figures = await call.core.system.diagnostics(call.principal)
    return answer({**figures, "websockets": call.metrics.sockets})


HANDLERS: Mapping[str, Handler] = {
    "listEvents": list_events,
    "verifyEvents": verify_events,
    "listTokens": list_tokens,
    "createToken": create_token,
    "revokeToken": revoke_token,
    "whoami": whoami,
    "listVersions": list_versions,
    "listLimits": list_limits,
    "getContract": get_contract,
    "getHealth": get_health,
    "getMetrics": get_metrics,
    "getDiagnostics": get_diagnostics,
}
