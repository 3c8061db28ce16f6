"""Lanes, freezes and pipelines over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.api.conftest import Api
from tests.api.test_deployments import NOBODY, WISH, commit, made, reached, reason

from dg.core.access.models import SYSTEM

LANE = "/v1/lanes/shop/production"


async def test_a_locked_lane_says_why_and_opens_again(api: Api) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline())
    async with api.caller("operator") as operator:
        locked = (await operator.post(f"{LANE}/lock", json={"reason": "migration", "for": "1h30m"})).json()
        assert locked["state"] == "locked"
        ends = datetime.fromisoformat(locked["lock"]["until"]) - datetime.now(UTC)
        assert timedelta(minutes=89) < ends <= timedelta(minutes=90)
        refused = await operator.post("/v1/deployments", json={**WISH, "environment": "production"})
        assert reason(refused) == (409, "lane_closed")
        assert "migration" in refused.json()["error"]["message"]
        assert (await operator.post(f"{LANE}/unlock", json={"reason": "done"})).json()["state"] == "open"
        assert (await operator.post(f"{LANE}/unlock")).status_code == 200
        assert (
            await operator.post("/v1/deployments", json={**WISH, "environment": "production"})
        ).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        {"for": "1h"},
        {"reason": "x"},
        {"reason": "x", "for": "1h", "until": "2099-01-01T00:00:00Z"},
        {"reason": "x", "for": "soon"},
        {"reason": "x", "for": "0s"},
        {"reason": "x", "for": "365d"},
        {"reason": "x", "until": "2001-01-01T00:00:00Z"},
        {"reason": "x", "until": "2099-13-01T00:00:00Z"},
        {"reason": "", "for": "1h"},
    ],
)
async def test_a_lock_without_a_reason_or_a_sane_end_is_refused(api: Api, body: dict[str, str]) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline())
    async with api.caller("operator") as operator:
        assert (await operator.post(f"{LANE}/lock", json=body)).status_code == 400
        assert (await operator.get(LANE)).json()["state"] == "open"


async def test_an_empty_reason_is_called_empty(api: Api) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline())
    async with api.caller("operator") as operator:
        answer = await operator.post(f"{LANE}/lock", json={"reason": "", "for": "1h"})
        assert answer.json()["error"]["message"] == "reason must not be empty"


async def test_an_unknown_lane_is_not_found(api: Api) -> None:
    async with api.caller("operator") as operator:
        assert (await operator.get(LANE)).status_code == 404
        assert (await operator.get("/v1/lanes/shop/moon")).status_code == 400
        assert (await operator.post(f"{LANE}/lock", json={"reason": "x", "for": "1h"})).status_code == 404


async def test_a_freeze_closes_everything_until_it_is_thawed(api: Api) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline())
    async with api.caller("approver") as approver:
        frozen = await approver.post("/v1/freezes", json={"reason": "quarter end", "for": "2h"})
        assert frozen.status_code == 201
        states = {lane["state"] for lane in (await approver.get("/v1/lanes")).json()["items"]}
        assert states == {"frozen"}
        assert [item["id"] for item in (await approver.get("/v1/freezes")).json()["items"]] == [
            frozen.json()["id"]
        ]
        thawed = await approver.post(f"/v1/freezes/{frozen.json()['id']}/thaw")
        assert [item["id"] for item in thawed.json()["items"]] == [frozen.json()["id"]]
        assert (await approver.post(f"/v1/freezes/{NOBODY}/thaw")).status_code == 404
        assert (await approver.get(LANE)).json()["state"] == "open"


async def test_everything_is_thawed_at_once_but_only_what_one_may(api: Api) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline())
    async with api.caller("approver") as wide, api.caller("approver", environment="staging") as narrow:
        for environment in ("staging", "production"):
            await wide.post("/v1/freezes", json={"reason": "x", "for": "1h", "environment": environment})
        lifted = (await narrow.post("/v1/freezes/thaw")).json()["items"]
        assert [item["environment"] for item in lifted] == ["staging"]
        assert len((await wide.post("/v1/freezes/thaw")).json()["items"]) == 1


async def test_a_pipeline_is_registered_read_checked_and_explained(api: Api) -> None:
    async with api.caller("admin") as admin:
        registered = await admin.post("/v1/pipelines", json={"text": api.pipeline()})
        assert registered.headers["location"] == "/v1/pipelines/shop"
        assert registered.json()["revision"] == 1
        changed = await admin.post("/v1/pipelines", json={"text": api.pipeline(command="make release")})
        assert changed.json()["revision"] == 2
        assert (await admin.get("/v1/pipelines/shop")).json() == changed.json()
        history = (await admin.get("/v1/pipelines/shop/history", params={"limit": 1})).json()
        assert [item["revision"] for item in history["items"]] == [2]
        rest = await admin.get("/v1/pipelines/shop/history", params={"cursor": history["next_cursor"]})
        assert [item["revision"] for item in rest.json()["items"]] == [1]
        source = (await admin.get("/v1/pipelines/shop/source")).json()
        assert source == {
            "service": "shop",
            "git": str(api.repository),
            "ref": "main",
            "commit_sha": commit(api.repository, "main"),
        }


async def test_a_bad_pipeline_is_refused_with_every_field(api: Api) -> None:
    async with api.caller("admin") as admin:
        refused = await admin.post("/v1/pipelines", json={"text": "service = 7"})
        assert reason(refused) == (400, "invalid_pipeline")
        assert {item["field"] for item in refused.json()["error"]["details"]["errors"]} >= {
            "service",
            "version",
        }
        linted = await admin.post("/v1/pipelines/lint", json={"text": "= nonsense"})
        assert reason(linted) == (400, "invalid_pipeline")
        findings = (await admin.post("/v1/pipelines/lint", json={"text": api.pipeline()})).json()["items"]
        assert {finding["level"] for finding in findings} == {"warning"}
        assert (await admin.get("/v1/pipelines/shop")).status_code == 404
        assert (await admin.get("/v1/pipelines/shop/source")).status_code == 404


async def test_a_deployment_goes_on_through_a_lock(api: Api) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline(command="sleep 0.3"))
    async with api.caller("operator") as operator:
        deployment = await made(operator)
        await operator.post("/v1/lanes/shop/development/lock", json={"reason": "x", "for": "1h"})
        await reached(operator, deployment, "success", "pending")


async def test_a_version_is_blocked_listed_and_let_back(api: Api) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline())
    async with api.caller("operator") as operator, api.caller("approver") as approver:
        wish = {"version": "main", "reason": "charged twice"}
        made = await operator.post(f"{LANE}/blocks", json=wish)
        assert (made.status_code, made.json()["version"]) == (201, "main")
        commit = made.json()["commit_sha"]
        assert reason(await operator.post(f"{LANE}/blocks", json=wish)) == (409, "version_blocked")
        assert (await operator.get(f"{LANE}/blocks")).json()["items"] == [made.json()]
        refused = await operator.post("/v1/deployments", json={**WISH, "environment": "production"})
        assert reason(refused) == (409, "version_blocked")
        lift = f"{LANE}/blocks/{commit[:9].upper()}/lift"
        assert (await operator.post(lift, json={"reason": "x"})).status_code == 403
        assert (await approver.post(lift, json={})).status_code == 400
        assert (await approver.post(lift, json={"reason": "x"})).json() == made.json()
        assert (await approver.post(lift, json={"reason": "x"})).status_code == 404
        assert (await approver.post(f"{LANE}/blocks/main/lift", json={"reason": "x"})).status_code == 400


async def test_the_queue_is_listed_with_positions(api: Api) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline())
    async with api.caller("operator") as operator:
        wish = {**WISH, "environment": "production", "not_before": "2099-01-01T00:00:00Z"}
        deployment = (await operator.post("/v1/deployments", json=wish)).json()
        (waits,) = (await operator.get(f"{LANE}/queue")).json()["items"]
        assert (waits["position"], waits["deployment"]["id"]) == (1, deployment["id"])
        assert waits["estimated_start"] == "2099-01-01T00:00:00Z"
        assert (await operator.get("/v1/lanes/moon/production/queue")).status_code == 404
