"""Deployments: create, decide on, watch, change, cancel, roll back, retry, abandon."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp

from dg.api import auth, json, wire
from dg.api.call import Call, Handler, answer, created
from dg.core.deployments.models import (
    FINAL,
    Approve,
    CreateDeployment,
    Deployment,
    LogPage,
    Override,
    Progress,
    RequestRetry,
    RequestRollback,
    Status,
    UpdateDeployment,
)
from dg.core.errors import NotFound, Unauthenticated
from dg.core.remember import Remembered
from dg.core.types import Environment

PAGE = 1000
"""Lines that a download reads at a time."""

CUT_OFF = "… cut off here: what you may read has ended meanwhile …\n".encode()

_SHAPES: Remembered[Mapping[str, Any]] = Remembered(500)
"""What of a status does not change while its deployment's revision stays."""
_ENDED: Remembered[bytes] = Remembered(500)
"""The whole answer for deployments that ended."""


async def list_deployments(call: Call) -> Response:
    asked = call.arguments
    page = await call.core.deployments.list(
        call.principal,
        filter=asked["filter"],
        service=asked["service"],
        environment=asked["environment"] and Environment(asked["environment"]),
        status=asked["status"] and Status(asked["status"]),
        cursor=asked["cursor"],
        limit=asked["limit"],
    )
    return answer(page)


async def create_deployment(call: Call) -> Response:
    request = wire.read(CreateDeployment, call.body)
    return _made(await call.core.deployments.create(call.principal, request, call.once))


async def preview_deployment(call: Call) -> Response:
    request = wire.read(CreateDeployment, call.body)
    return answer(await call.core.deployments.preview(call.principal, request))


async def get_deployment(call: Call) -> Response:
    return answer(await call.core.deployments.get(call.principal, _id(call)))


async def update_deployment(call: Call) -> Response:
    request = wire.read(UpdateDeployment, call.body)
    return answer(await call.core.deployments.update(call.principal, _id(call), request, call.once))


async def cancel_deployment(call: Call) -> Response:
    deployment = await call.core.deployments.cancel(
        call.principal,
        _id(call),
        then_rollback=call.body.get("then_rollback", False),
        reason=call.body.get("reason"),
        once=call.once,
    )
    return answer(deployment, 202)


async def rollback_deployment(call: Call) -> Response:
    request = wire.read(RequestRollback, call.body)
    return _made(await call.core.deployments.rollback(call.principal, _id(call), request, call.once))


async def retry_deployment(call: Call) -> Response:
    request = wire.read(RequestRetry, call.body)
    return _made(await call.core.recovery.retry(call.principal, _id(call), request, call.once))


async def abandon_deployment(call: Call) -> Response:
    reason = call.body["reason"]
    return answer(await call.core.recovery.abandon(call.principal, _id(call), reason, call.once))


async def approve_deployment(call: Call) -> Response:
    request = wire.read(Approve, call.body)
    return answer(await call.core.approvals.approve(call.principal, _id(call), request, call.once))


async def reject_deployment(call: Call) -> Response:
    reason = call.body["reason"]
    return answer(await call.core.approvals.reject(call.principal, _id(call), reason, call.once))


async def override_gates(call: Call) -> Response:
    request = wire.read(Override, call.body)
    return answer(await call.core.approvals.override(call.principal, _id(call), request, call.once))


async def get_deployment_changes(call: Call) -> Response:
    return answer(await call.core.deployments.changes(call.principal, _id(call)))


async def get_deployment_diff(call: Call) -> Response:
    return answer(await call.core.deployments.diff(call.principal, _id(call), call.arguments["file"]))


async def get_deployment_receipt(call: Call) -> Response:
    document = await call.core.deployments.receipt(call.principal, _id(call))
    return Response(document, media_type=json.MEDIA_TYPE)


async def get_receipt_key(call: Call) -> Response:
    pem = await call.core.deployments.receipt_key(call.principal)
    return Response(pem, media_type="application/x-pem-file")


async def get_deployment_status(call: Call) -> Response:
    found = await call.core.deployments.status(call.principal, _id(call))
    ended = found.deployment.status in FINAL
    body = (
        _ENDED.get(_key(found), lambda: json.write(progress(found))) if ended else json.write(progress(found))
    )
    return Response(body, media_type=json.MEDIA_TYPE)


async def get_deployment_logs(call: Call) -> ASGIApp:
    if call.wants("text/plain"):
        first = await _lines(call, call.arguments["after"], PAGE)
        return StreamingResponse(_text(call, first), media_type="text/plain; charset=utf-8")
    page = await _lines(call, call.arguments["after"], call.arguments["limit"])
    if call.arguments["wait"] and not page.items and not page.complete:
        await _wait(call)
        call.principal = await auth.by_now(call.core, call.principal, call.headers)
        page = await _lines(call, call.arguments["after"], call.arguments["limit"])
    return answer(page)


def progress(found: Progress) -> Mapping[str, Any]:
    """The specification's flat shape, and the deployment beside it, as JSON values."""
    deployment = found.deployment
    shape = {
        "id": deployment.id,
        "status": deployment.status.value,
        "progress": found.progress,
        "logs": found.logs,
        **_SHAPES.get(_key(found), lambda: _shape(found)),
    }
    if found.estimated_completion is not None:
        shape["estimated_completion"] = wire.timestamp(found.estimated_completion)
    return shape


def _key(found: Progress) -> tuple[object, ...]:
    deployment = found.deployment
    return deployment.id, deployment.revision, deployment.hold, deployment.created_by_name


def _shape(found: Progress) -> Mapping[str, Any]:
    return {"steps": wire.plain(found.steps), "deployment": wire.plain(found.deployment)}


async def _lines(call: Call, after: int, limit: int) -> LogPage:
    return await call.core.deployments.logs(call.principal, _id(call), after=after, limit=limit)


async def _wait(call: Call) -> None:
    """Until there are lines, the deployment has ended, the caller's patience is over or the server stops."""
    try:
        async with call.lingering.wait():
            await call.core.deployments.wait_for_logs(
                _id(call), call.arguments["after"], call.arguments["wait"]
            )
    except TimeoutError:
        return


async def _text(call: Call, page: LogPage) -> AsyncIterator[bytes]:
    """The log as text, page by page, with a line where the size limit left lines out, and at the end of what
    the caller may read when that is over before the log is."""
    while True:
        if page.left_out:
            yield f"… {page.left_out} lines left out …\n".encode()
        yield "".join(f"{line.text}\n" for line in page.items).encode()
        if len(page.items) < PAGE:
            return
        try:
            call.principal = await auth.by_now(call.core, call.principal, call.headers)
            page = await _lines(call, page.next_seq, PAGE)
        except (Unauthenticated, NotFound):
            yield CUT_OFF
            return


def _id(call: Call) -> str:
    value: str = call.arguments["id"]
    return value.lower()


def _made(deployment: Deployment) -> Response:
    return created(deployment, f"/deployments/{deployment.id}")


HANDLERS: Mapping[str, Handler] = {
    "listDeployments": list_deployments,
    "createDeployment": create_deployment,
    "previewDeployment": preview_deployment,
    "getDeployment": get_deployment,
    "updateDeployment": update_deployment,
    "deleteDeployment": cancel_deployment,
    "getDeploymentStatus": get_deployment_status,
    "getDeploymentLogs": get_deployment_logs,
    "getDeploymentChanges": get_deployment_changes,
    "getDeploymentDiff": get_deployment_diff,
    "getDeploymentReceipt": get_deployment_receipt,
    "getReceiptKey": get_receipt_key,
    "cancelDeployment": cancel_deployment,
    "rollbackDeployment": rollback_deployment,
    "retryDeployment": retry_deployment,
    "abandonDeployment": abandon_deployment,
    "approveDeployment": approve_deployment,
    "rejectDeployment": reject_deployment,
    "overrideGates": override_gates,
}
