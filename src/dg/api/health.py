"""Health over HTTP: `/environments/{name}/health` and `/environments/{name}/probes`."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from dg.api import wire
from dg.api.call import Call, Handler, answer, items
from dg.core.types import Environment


async def get_environment_health(call: Call) -> Response:
    return answer(await call.core.health.health(call.principal, _name(call)))


async def get_health_history(call: Call) -> Response:
    asked = call.arguments
    found = await call.core.health.history(
        call.principal,
        _name(call),
        service=asked["service"],
        since=wire.moment("since", asked["since"]) if asked["since"] else None,
        until=wire.moment("until", asked["until"]) if asked["until"] else None,
        step=wire.timespan("step", asked["step"]) if asked["step"] else None,
    )
    return answer(found)


async def list_probes(call: Call) -> Response:
    return items(await call.core.health.probes(call.principal, _name(call)))


async def test_probe(call: Call) -> Response:
    return answer(
        await call.core.health.test(
            call.principal, _name(call), call.arguments["probe"], call.body.get("definition")
        )
    )


async def beat_probe(call: Call) -> Response:
    return answer(
        await call.core.health.beat(
            call.principal,
            _name(call),
            call.arguments["probe"],
            ok=call.body.get("ok", True),
            message=call.body.get("message", ""),
        )
    )


def _name(call: Call) -> Environment:
    return Environment(call.arguments["name"])


HANDLERS: Mapping[str, Handler] = {
    "getEnvironmentHealth": get_environment_health,
    "getHealthHistory": get_health_history,
    "listProbes": list_probes,
    "testProbe": test_probe,
    "beatProbe": beat_probe,
}
