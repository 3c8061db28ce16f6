"""Backups over HTTP: `/backups`, and `backups` and `restores` of environments."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from dg.api.call import Call, Handler, answer, items
from dg.api.environments import changed, expected
from dg.core.types import Environment


async def list_backups(call: Call) -> Response:
    return items(await call.core.backups.list(call.principal))


async def list_environment_backups(call: Call) -> Response:
    return items(await call.core.backups.list(call.principal, _name(call)))


async def make_environment_backup(call: Call) -> Response:
    return answer(await call.core.backups.make(call.principal, _name(call), call.arguments["id"], call.once))


async def restore_environment_backup(call: Call) -> Response:
    asked = (call.principal, _name(call), call.arguments["id"])
    version = expected(call.arguments["If-Match"])
    if call.arguments["dry_run"]:
        return answer(await call.core.backups.preview(*asked, version))
    return changed(await call.core.backups.restore(*asked, call.body.get("reason"), version, call.once))


def _name(call: Call) -> Environment:
    return Environment(call.arguments["name"])


HANDLERS: Mapping[str, Handler] = {
    "listBackups": list_backups,
    "listEnvironmentBackups": list_environment_backups,
    "makeEnvironmentBackup": make_environment_backup,
    "restoreEnvironmentBackup": restore_environment_backup,
}
