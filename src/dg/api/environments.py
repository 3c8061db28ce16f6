"""Environments over HTTP: `/environments`. The ETag begins with the version."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from starlette.responses import Response

from dg.api import wire
from dg.api.call import Call, Handler, answer, ending, items
from dg.api.conditional import names
from dg.core.drift.models import AcceptDrift
from dg.core.environments.models import Box, Ciphertext, EnvironmentState, SetSecret, UpdateEnvironment
from dg.core.errors import Invalid
from dg.core.types import Environment


async def list_environments(call: Call) -> Response:
    return items(await call.core.environments.list(call.principal))


async def get_environment(call: Call) -> Response:
    found = await call.core.environments.get(call.principal, _name(call), call.arguments["version"])
    headers = _headers(found)
    if names(call.headers.get("if-none-match", ""), headers["etag"]):
        return Response(status_code=304, headers=headers)
    return answer(found, headers=headers)


async def update_environment(call: Call) -> Response:
    request = wire.read(UpdateEnvironment, call.body)
    asked = (call.principal, _name(call), request, expected(call.arguments["If-Match"]))
    if call.arguments["dry_run"]:
        return answer(await call.core.environments.preview(*asked))
    return changed(await call.core.environments.update(*asked, call.once))


async def list_environment_versions(call: Call) -> Response:
    page = await call.core.environments.history(
        call.principal, _name(call), cursor=call.arguments["cursor"], limit=call.arguments["limit"]
    )
    return answer(page)


async def diff_environment(call: Call) -> Response:
    other = call.arguments["with"]
    diff = await call.core.environments.diff(
        call.principal,
        _name(call),
        since=call.arguments["from"],
        until=call.arguments["to"],
        other=Environment(other) if other else None,
    )
    return answer(diff)


async def restore_environment(call: Call) -> Response:
    return changed(
        await call.core.environments.restore(
            call.principal,
            _name(call),
            call.body["version"],
            call.body.get("reason"),
            expected(call.arguments["If-Match"]),
            call.once,
        )
    )


async def set_secret(call: Call) -> Response:
    request = wire.read(SetSecret, call.body)
    return changed(
        await call.core.environments.set_secret(
            call.principal,
            _name(call),
            call.arguments["key"],
            _value(request),
            request.reason,
            expected(call.arguments["If-Match"]),
            call.once,
        )
    )


async def get_past_environment(call: Call) -> Response:
    then = wire.moment("as_of", call.arguments["as_of"])
    return answer(await call.core.past.get(call.principal, _name(call), then))


async def list_drift(call: Call) -> Response:
    return items(await call.core.drift.list(call.principal, _name(call)))


async def accept_drift(call: Call) -> Response:
    where = (call.principal, _name(call), call.arguments["service"])
    if call.body.get("withdraw"):
        return answer(await call.core.drift.withdraw(*where, call.body["reason"], call.once))
    request = wire.read(AcceptDrift, ending(call))
    return answer(await call.core.drift.accept(*where, request, call.once))


async def list_secrets(call: Call) -> Response:
    return items(await call.core.secrets.list(call.principal, _name(call)))


async def get_sealing_key(call: Call) -> Response:
    return answer(
        await call.core.environments.sealing_key(call.principal, _name(call), call.arguments["key"])
    )


def _value(request: SetSecret) -> str | Box | Ciphertext | None:
    """What is to become of the secret. Raises Invalid for a request that says nothing, or two things."""
    ciphertext = None if request.ciphertext is None else Ciphertext(ciphertext=request.ciphertext)
    given = [each for each in (request.value, request.sealed, ciphertext) if each is not None]
    if len(given) + request.unset != 1:
        raise Invalid("value: give one of value, sealed, ciphertext and unset", field="value")
    return given[0] if given else None


async def set_probe(call: Call) -> Response:
    definition = call.body.get("definition")
    if (definition is None) is not call.body.get("remove", False):
        raise Invalid("definition: give either a definition or remove", field="definition")
    return changed(
        await call.core.environments.set_probe(
            call.principal,
            _name(call),
            call.arguments["probe"],
            definition,
            call.body.get("reason"),
            expected(call.arguments["If-Match"]),
            call.once,
        )
    )


def _name(call: Call) -> Environment:
    return Environment(call.arguments["name"])


def expected(match: str | None) -> int | None:
    """The version that an If-Match names; None for any."""
    tag = (match or "*").removeprefix("W/")
    return None if tag == "*" else int(tag.strip('"').partition("-")[0])


def changed(found: EnvironmentState) -> Response:
    """An environment and its tag."""
    return answer(found, headers=_headers(found))


def _headers(found: EnvironmentState) -> dict[str, str]:
    """Its tag begins with the version, and tells it from every other content that this process sends."""
    digest = hashlib.sha256(found.model_dump_json().encode()).hexdigest()[:16]
    return {"etag": f'"{found.version}-{digest}"', "cache-control": "no-cache"}


HANDLERS: Mapping[str, Handler] = {
    "listEnvironments": list_environments,
    "getEnvironment": get_environment,
    "updateEnvironment": update_environment,
    "listEnvironmentVersions": list_environment_versions,
    "diffEnvironment": diff_environment,
    "restoreEnvironment": restore_environment,
    "setSecret": set_secret,
    "getPastEnvironment": get_past_environment,
    "listDrift": list_drift,
    "acceptDrift": accept_drift,
    "listSecrets": list_secrets,
    "getSealingKey": get_sealing_key,
    "setProbe": set_probe,
}
