"""Who may do what: roles, bindings, whether somebody may, and the log of who did."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from dg.api import wire
from dg.api.call import Call, Handler, answer, created, items
from dg.core.access.models import CreateBinding, CreateRole, UpdateRole


async def list_roles(call: Call) -> Response:
    return items(await call.core.roles.list(call.principal))


async def get_role(call: Call) -> Response:
    return answer(await call.core.roles.get(call.principal, call.arguments["name"]))


async def create_role(call: Call) -> Response:
    role = await call.core.roles.create(call.principal, wire.read(CreateRole, call.body), call.once)
    return created(role, f"/security/access/roles/{role.name}")


async def update_role(call: Call) -> Response:
    wish = wire.read(UpdateRole, call.body)
    return answer(await call.core.roles.update(call.principal, call.arguments["name"], wish, call.once))


async def delete_role(call: Call) -> Response:
    return answer(await call.core.roles.delete(call.principal, call.arguments["name"], call.once))


async def list_bindings(call: Call) -> Response:
    asked = call.arguments
    page = await call.core.bindings.list(
        call.principal,
        subject=asked["subject"],
        role=asked["role"],
        cursor=asked["cursor"],
        limit=asked["limit"],
    )
    return answer(page)


async def create_binding(call: Call) -> Response:
    wish = wire.read(CreateBinding, call.body)
    return answer(await call.core.bindings.create(call.principal, wish, call.once), 201)


async def revoke_binding(call: Call) -> Response:
    return answer(await call.core.bindings.revoke(call.principal, call.arguments["id"].lower()))


async def check_access(call: Call) -> Response:
    asked = call.arguments
    decision = await call.core.access.explain(
        call.principal, asked["action"], asked["environment"], asked["service"], of=asked["principal"]
    )
    return answer(decision)


async def read_audit(call: Call) -> Response:
    asked = call.arguments
    page = await call.core.audit.read(
        call.principal, filter=asked["filter"], cursor=asked["cursor"], limit=asked["limit"]
    )
    return answer(page)


HANDLERS: Mapping[str, Handler] = {
    "listRoles": list_roles,
    "getRole": get_role,
    "createRole": create_role,
    "updateRole": update_role,
    "deleteRole": delete_role,
    "listBindings": list_bindings,
    "createBinding": create_binding,
    "revokeBinding": revoke_binding,
    "checkAccess": check_access,
    "readAudit": read_audit,
}
