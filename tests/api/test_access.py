"""Roles, bindings and decisions over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.api.conftest import Api
from tests.api.test_deployments import reason

from dg.core.access.models import Principal, Role

ROLES, BINDINGS, CHECK = (f"/v1/security/access/{name}" for name in ("roles", "bindings", "check"))
ROLE = {"name": "releaser", "description": "Deploys.", "actions": ["deployment:create", "deployment:read"]}


async def bind(admin: httpx.AsyncClient, subject: str, role: str, **more: Any) -> dict[str, Any]:
    answer = await admin.post(BINDINGS, json={"subject": subject, "role": role, **more})
    assert answer.status_code == 201, answer.text
    bound: dict[str, Any] = answer.json()
    return bound


async def whoami(caller: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await caller.get("/v1/whoami")).json()
    return found


@pytest.mark.parametrize("role", [None, "viewer", "operator", "approver"])
async def test_others_than_administrators_give_nobody_anything(api: Api, role: str | None) -> None:
    async with api.caller(role) as caller:
        for answer in (
            await caller.post(ROLES, json=ROLE),
            await caller.post(f"{ROLES}/releaser", json={"description": "x"}),
            await caller.post(f"{ROLES}/releaser/delete"),
            await caller.get(BINDINGS),
            await caller.post(BINDINGS, json={"subject": "clerk:user_1", "role": "viewer"}),
            await caller.post(f"{BINDINGS}/019acd5e-7c00-7000-8000-0000000000b1/revoke"),
            await caller.get(CHECK, params={"action": "lane:lock", "principal": "clerk:user_1"}),
        ):
            assert answer.status_code == (403 if role else 401)


async def test_a_role_is_made_changed_and_deleted(api: Api) -> None:
    async with api.caller("admin") as admin:
        made = await admin.post(ROLES, json=ROLE)
        assert (made.status_code, made.headers["location"]) == (201, f"{ROLES}/releaser")
        assert (await admin.get(f"{ROLES}/releaser")).json() == made.json()
        changed = await admin.post(f"{ROLES}/releaser", json={"add": ["lane:lock"], "description": "Locks."})
        assert changed.json()["actions"] == ["deployment:create", "deployment:read", "lane:lock"]
        listed = (await admin.get(ROLES)).json()["items"]
        assert [role["name"] for role in listed] == [*Role, "releaser"]
        assert [role["given"] for role in listed] == [True] * 4 + [False]
        assert (await admin.post(f"{ROLES}/releaser/delete")).json() == changed.json()
        assert reason(await admin.get(f"{ROLES}/releaser")) == (404, "not_found")
        assert reason(await admin.post(f"{ROLES}/admin/delete")) == (409, "given")


async def test_a_binding_counts_for_a_token_that_is_in_use(api: Api) -> None:
    async with api.caller("admin") as admin, api.caller("viewer") as vera:
        assert reason(await vera.post("/v1/freezes", json={"reason": "x", "for": "1h"})) == (403, "forbidden")
        bound = await bind(admin, (await whoami(vera))["id"], "approver")
        assert (await vera.post("/v1/freezes", json={"reason": "x", "for": "1h"})).status_code == 201
        assert (await whoami(vera))["grants"] == [
            {"role": "viewer"},
            {"role": "approver", "binding": bound["id"]},
        ]
        assert (await admin.get(BINDINGS)).json() == {"items": [bound]}
        revoked = await admin.post(f"{BINDINGS}/{bound['id']}/revoke")
        assert "revoked_at" in revoked.json()
        assert reason(await vera.post("/v1/freezes", json={"reason": "x", "for": "1h"})) == (403, "forbidden")


async def test_bindings_come_in_pages(api: Api) -> None:
    async with api.caller("admin") as admin:
        made = [await bind(admin, f"clerk:user_{number}", "viewer") for number in range(3)]
        page = (await admin.get(BINDINGS, params={"limit": 2})).json()
        rest = (await admin.get(BINDINGS, params={"limit": 2, "cursor": page["next_cursor"]})).json()
        assert page["items"] + rest["items"] == made
        assert "next_cursor" not in rest
        found = await admin.get(BINDINGS, params={"subject": "clerk:user_1", "role": "viewer"})
        assert found.json()["items"] == [made[1]]


async def test_a_token_may_have_a_role_of_the_home_s_own(api: Api) -> None:
    async with api.caller("admin") as admin:
        await admin.post(ROLES, json=ROLE)
        async with api.caller("releaser") as caller:
            assert (await caller.get("/v1/deployments")).status_code == 200
            assert reason(await caller.get("/v1/lanes")) == (403, "forbidden")
        refused = await admin.post("/v1/tokens", json={"name": "x", "role": "ghost"})
        assert reason(refused) == (400, "invalid")
        assert "releaser" in refused.json()["error"]["message"]


async def test_whoever_may_not_read_roles_knows_what_their_own_gives(api: Api) -> None:
    async with api.caller("admin") as admin:
        await admin.post(ROLES, json=ROLE)
    async with api.caller("releaser") as caller:
        assert reason(await caller.get(ROLES)) == (403, "forbidden")
        assert (await whoami(caller))["grants"] == [{"role": "releaser", "actions": sorted(ROLE["actions"])}]
    found = Principal.model_validate({"id": "p", "name": "p", "grants": [NEWER]})
    assert found.grants[0].actions == {"lane:lock"}


NEWER = {"role": "releaser", "actions": ["lane:lock", "moon:land"]}
"""What a server says that knows more actions than this one."""


async def test_the_same_key_binds_once(api: Api) -> None:
    async with api.caller("admin") as admin:
        body = {"subject": "clerk:user_1", "role": "viewer"}
        one, two = [await admin.post(BINDINGS, json=body, headers={"idempotency-key": "k"}) for _ in "ab"]
        assert one.json() == two.json()


async def test_anybody_known_learns_whether_they_may_and_why(api: Api) -> None:
    async with api.caller("admin") as admin, api.caller("viewer") as vera, api.caller() as stranger:
        bound = await bind(admin, (await whoami(vera))["id"], "operator", environment="staging")
        asked = {"action": "lane:lock", "environment": "staging", "service": "shop"}
        yes = (await vera.get(CHECK, params=asked)).json()
        assert yes["allowed"]
        assert yes["grant"] == {"role": "operator", "environment": "staging", "binding": bound["id"]}
        no = (await vera.get(CHECK, params={**asked, "environment": "production"})).json()
        assert not no["allowed"]
        assert "operator on staging" in no["why"]
        assert (await admin.get(CHECK, params={**asked, "principal": yes["principal"]})).json() == yes
        assert (await stranger.get(CHECK, params=asked)).status_code == 401
        wrong = await vera.get(CHECK, params={"action": "lane:paint"})
        assert "lane:lock" in wrong.json()["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"subject": "ana", "role": "viewer"},
        {"subject": "clerk:user_1"},
        {"subject": "clerk:user_1", "role": "Viewer"},
        {"subject": "clerk:user_1", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"},
        {"subject": "clerk:user_1", "role": "viewer", "until": "2h"},
    ],
)
async def test_a_bad_binding_is_refused(api: Api, body: dict[str, str]) -> None:
    async with api.caller("admin") as admin:
        assert (await admin.post(BINDINGS, json=body)).status_code == 400
