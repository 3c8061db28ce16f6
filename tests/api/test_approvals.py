"""What people decide about deployments over HTTP; every answer is also held against the contract."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from tests.api.conftest import Api
from tests.api.test_deployments import NOBODY, PATH, commit, made, reached, reason

from dg.core.access.models import SYSTEM

TWO = "approvals = { count = 2 }"
ONE = "approvals = { count = 1, bypass = 'role:admin' }"
SHUT = "windows = [{ allow = '0 0 29 2 *', for = '1s', tz = 'UTC' }]"


async def guarded(api: Api, demands: str = ONE, command: str = "true") -> None:
    """A shop of which production demands something."""
    text = f"{api.pipeline(command=command)}\n[env.production]\n{demands}\n"
    await api.core.pipelines.register(SYSTEM, text)


async def asked(operator: httpx.AsyncClient, **wish: object) -> dict[str, Any]:
    return await made(operator, environment="production", **wish)


async def seen(client: httpx.AsyncClient, deployment: dict[str, Any]) -> dict[str, Any]:
    answer = await client.get(f"{PATH}/{deployment['id']}")
    found: dict[str, Any] = answer.json()
    return found


async def decide(
    client: httpx.AsyncClient, deployment: dict[str, Any], what: str, **body: object
) -> httpx.Response:
    return await client.post(f"{PATH}/{deployment['id']}/{what}", json=body)


async def test_a_deployment_waits_for_a_second_person_and_then_starts(api: Api) -> None:
    await guarded(api)
    async with api.caller("operator") as operator, api.caller("approver") as approver:
        deployment = await asked(operator)
        waits = await seen(operator, deployment)
        (gate,) = waits["gates"]
        assert (gate["name"], gate["open"], waits["approvals"]) == ("approvals", False, [])
        assert f"dg approve {deployment['id']}" in waits["hold"] == gate["sentence"]
        assert "an approver" in gate["who"]
        approved = await decide(approver, deployment, "approve", content=waits["content"], note="fine")
        assert approved.status_code == 200
        await reached(operator, deployment, "success")
        ended = await seen(operator, deployment)
        assert [gate["open"] for gate in ended["gates"]] == [True]
        (approval,) = ended["approvals"]
        assert (approval["verdict"], approval["content"]) == ("approved", waits["content"])
        assert (approval["note"], approval["by_name"]) == ("fine", "approver of a test")


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("approve", {}),
        ("reject", {"reason": "no"}),
        ("override", {"gates": ["approvals"], "reason": "outage"}),
    ],
)
async def test_who_may_not_decide(api: Api, what: str, body: dict[str, Any]) -> None:
    await guarded(api)
    async with (
        api.caller("operator") as operator,
        api.caller("viewer") as viewer,
        api.caller("approver", environment="staging") as elsewhere,
        api.caller("admin", kind="service", name="robot") as robot,
        api.caller() as nobody,
    ):
        deployment = await asked(operator)
        assert reason(await decide(viewer, deployment, what, **body)) == (403, "forbidden")
        assert (await decide(elsewhere, deployment, what, **body)).status_code == 404
        assert reason(await decide(robot, deployment, what, **body)) == (403, "people_only")
        assert (await decide(nobody, deployment, what, **body)).status_code == 401
        assert (await decide(operator, {"id": NOBODY}, what, **body)).status_code == 404
        assert (await seen(operator, deployment))["status"] == "pending"


async def test_nobody_approves_their_own_under_any_token(api: Api) -> None:
    await guarded(api)
    async with (
        api.caller("operator", name="ana") as operator,
        api.caller("approver", name="Ana ") as again,
    ):
        deployment = await asked(operator)
        assert reason(await decide(again, deployment, "approve")) == (403, "own_deployment")


async def test_an_operator_is_no_approver_unless_it_is_said(api: Api) -> None:
    await guarded(api)
    async with api.caller("operator") as operator, api.caller("operator", name="bo") as bo:
        deployment = await asked(operator)
        assert reason(await decide(bo, deployment, "approve")) == (403, "not_an_approver")
        await guarded(api, "approvals = { from = ['user:bo'] }")
        second = await asked(operator)
        assert (await decide(bo, second, "approve")).status_code == 200


async def test_one_person_counts_once_from_two_surfaces_at_a_time(api: Api) -> None:
    await guarded(api, TWO)
    async with (
        api.caller("operator") as operator,
        api.caller("approver", name="bo") as laptop,
        api.caller("approver", name="bo") as phone,
        api.caller("approver", name="cy") as cy,
    ):
        deployment = await asked(operator)
        answers = await asyncio.gather(
            *(decide(one, deployment, "approve") for one in (laptop, phone, laptop, phone))
        )
        assert {answer.status_code for answer in answers} == {200}
        waits = await seen(operator, deployment)
        assert (waits["status"], len(waits["approvals"])) == ("pending", 1)
        assert waits["gates"][0]["values"] == {"needed": 2, "given": 1}
        assert (await decide(cy, deployment, "approve")).status_code == 200
        await reached(operator, deployment, "success")


async def test_a_yes_to_what_has_moved_is_void_and_refused_with_the_new_commits(api: Api) -> None:
    await guarded(api, TWO)
    old, new = commit(api.repository, "main~1"), commit(api.repository, "main")
    async with (
        api.caller("operator") as operator,
        api.caller("approver", name="bo") as bo,
        api.caller("approver", name="cy") as cy,
    ):
        first, second = await asked(operator, commit_sha=old), await asked(operator, commit_sha=new)
        shown = (await seen(bo, second))["content"]
        assert (await decide(bo, second, "approve", content=shown)).status_code == 200
        for person in (bo, cy):
            assert (await decide(person, first, "approve")).status_code == 200
        await reached(operator, first, "success")
        waits = await seen(operator, second)
        assert waits["content"] != shown
        assert waits["approvals"][0]["void_reason"].startswith(f"{old[:12]} runs there now")
        assert f"dg diff {second['id']}" in waits["hold"]
        stale = await decide(cy, second, "approve", content=shown)
        assert reason(stale) == (409, "stale_content")
        details = stale.json()["error"]["details"]
        assert (details["base"], details["head"], details["content"]) == (old, new, waits["content"])
        assert [one["subject"] for one in details["changes"]["commits"]] == ["Release 2"]
        for person in (bo, cy):
            answer = await decide(person, second, "approve", content=details["content"])
            assert answer.status_code == 200
        await reached(operator, second, "success")


async def test_a_no_ends_it_as_rejected(api: Api) -> None:
    await guarded(api)
    async with api.caller("operator") as operator, api.caller("approver") as approver:
        deployment = await asked(operator)
        ended = (await decide(approver, deployment, "reject", reason="locks the orders")).json()
        assert (ended["status"], ended["reason"]) == ("failed", "rejected")
        assert ended["message"] == "it was rejected: locks the orders"
        again = await decide(approver, deployment, "reject", reason="x")
        assert reason(again) == (409, "not_pending")
        assert reason(await decide(approver, deployment, "approve")) == (409, "not_pending")


async def test_only_the_stated_role_passes_a_gate_and_everybody_hears_of_it(api: Api) -> None:
    await guarded(api)
    async with (
        api.caller("operator") as operator,
        api.caller("approver") as approver,
        api.caller("admin") as admin,
    ):
        deployment = await asked(operator)
        wish = {"gates": ["approvals"], "reason": "outage"}
        assert reason(await decide(approver, deployment, "override", **wish)) == (403, "not_overridable")
        unknown = await decide(admin, deployment, "override", gates=["moon"], reason="x")
        assert reason(unknown) == (409, "no_such_gate")
        assert (await decide(admin, deployment, "override", **wish)).status_code == 200
        await reached(operator, deployment, "success")
        events = (await admin.get("/v1/events", params={"filter": "type=gate.overridden"})).json()["items"]
        assert [event["payload"]["reason"] for event in events] == ["outage"]
        assert events[0]["payload"]["alert"] is True


async def test_a_window_that_names_no_role_is_passed_by_nobody(api: Api) -> None:
    await guarded(api, SHUT)
    async with api.caller("operator") as operator, api.caller("admin") as admin:
        deployment = await asked(operator)
        (gate,) = (await seen(operator, deployment))["gates"]
        assert gate["name"] == "window"
        assert "Nobody can pass it" in gate["sentence"]
        refused = await decide(admin, deployment, "override", gates=["window"], reason="x")
        assert reason(refused) == (403, "not_overridable")
        lane = (await operator.get("/v1/lanes/shop/production")).json()
        assert gate["sentence"] in lane["sentence"]


async def test_what_waits_for_nobody_cannot_be_approved(api: Api) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline(command="sleep 60"))
    async with api.caller("operator") as operator, api.caller("approver") as approver:
        deployment = await made(operator, not_before="2099-01-01T00:00:00Z")
        assert reason(await decide(approver, deployment, "approve")) == (409, "nothing_to_approve")


async def test_a_caller_who_saw_another_commit_running_is_told_what_would_come(api: Api) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline())
    old, new = commit(api.repository, "main~1"), commit(api.repository, "main")
    async with api.caller("operator") as operator:
        first = await made(operator, commit_sha=old)
        await reached(operator, first, "success")
        refused = await operator.post(
            PATH, json={"environment": "development", "service": "shop", "base_sha": new}
        )
        assert reason(refused) == (409, "outdated_base")
        details = refused.json()["error"]["details"]
        assert (details["base"], details["head"]) == (old, new)
        assert [one["subject"] for one in details["changes"]["commits"]] == ["Release 2"]
        assert (await made(operator, base_sha=old[:12]))["base_sha"] == old


async def test_an_empty_queue_is_what_reject_wants(api: Api) -> None:
    await guarded(api, "queue = 'reject'", command="sleep 60")
    async with api.caller("operator") as operator:
        await asked(operator)
        refused = await operator.post(PATH, json={"environment": "production", "service": "shop"})
        assert reason(refused) == (409, "queue_closed")
