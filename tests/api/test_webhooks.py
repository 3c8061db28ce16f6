"""Webhooks over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.api.conftest import Api
from tests.api.test_deployments import reason

ASKED = {
    "url": "https://hooks.example.org/dg",
    "events": ["deployment.finished", "lane.*"],
    "environment": "production",
    "description": "incident tool",
    "filter": "type~deployment",
}
NOBODY = "01936b2e-7c00-7000-8000-00000000000a"


async def made(caller: httpx.AsyncClient, **changed: Any) -> dict[str, Any]:
    answer = await caller.post("/v1/webhooks", json=ASKED | changed)
    assert answer.status_code == 201, answer.text
    issued: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/webhooks/{issued['webhook']['id']}"
    return issued


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", ""), ("POST", ""), ("GET", f"/{NOBODY}"), ("PUT", f"/{NOBODY}"), ("DELETE", f"/{NOBODY}")),
        *(("POST", f"/{NOBODY}/test"), ("POST", f"/{NOBODY}/rotate"), ("GET", f"/{NOBODY}/deliveries")),
    ],
)
async def test_strangers_and_viewers_have_nothing_to_do_with_them(api: Api, method: str, path: str) -> None:
    body = {"POST": ASKED, "PUT": {"enabled": True}}.get(method) if path in ("", f"/{NOBODY}") else None
    async with api.caller() as stranger, api.caller("viewer") as viewer:
        assert reason(await stranger.request(method, f"/v1/webhooks{path}", json=body))[0] == 401
        assert reason(await viewer.request(method, f"/v1/webhooks{path}", json=body)) == (403, "forbidden")


async def test_a_webhook_from_its_making_to_its_end(api: Api) -> None:
    async with api.caller("admin") as admin:
        issued = await made(admin)
        webhook = issued["webhook"]
        assert issued["secret"].startswith("whsec_")
        assert {name: webhook[name] for name in ASKED} == ASKED
        assert (webhook["enabled"], webhook["failures"]) == (True, 0)
        where = f"/v1/webhooks/{webhook['id']}"
        assert (await admin.get(where)).json() == webhook
        listed = await admin.get("/v1/webhooks")
        assert listed.json()["items"] == [webhook]
        assert issued["secret"] not in listed.text
        changed = (await admin.put(where, json={"filter": "", "enabled": False})).json()
        assert "filter" not in changed
        assert changed["disabled_reason"] == "a person disabled it"
        rotated = (await admin.post(f"{where}/rotate")).json()
        assert rotated["secret"] != issued["secret"]
        page = (await admin.get(f"{where}/deliveries")).json()
        assert page == {"items": []}
        assert (await admin.delete(where)).json()["id"] == webhook["id"]
        assert reason(await admin.get(where)) == (404, "not_found")


async def test_a_test_that_does_not_arrive_is_an_answer_and_is_listed(api: Api) -> None:
    async with api.caller("admin") as admin:
        webhook = (await made(admin, url="http://localhost:8999/"))["webhook"]
        where = f"/v1/webhooks/{webhook['id']}"
        for _ in range(2):
            answer = await admin.post(f"{where}/test")
            assert (answer.status_code, answer.json()["state"]) == (200, "failed")
        first = (await admin.get(f"{where}/deliveries", params={"limit": 1})).json()
        rest = await admin.get(f"{where}/deliveries", params={"cursor": first["next_cursor"]})
        assert [len(first["items"]), len(rest.json()["items"])] == [1, 1]
        assert "next_cursor" not in rest.json()


async def test_one_key_makes_one_webhook(api: Api) -> None:
    async with api.caller("admin") as admin:
        key = {"idempotency-key": "k"}
        first = (await admin.post("/v1/webhooks", json=ASKED, headers=key)).json()
        assert (await admin.post("/v1/webhooks", json=ASKED, headers=key)).json() == first


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "https://user@a.example/"}, "url"),
        ({"url": "ftp://a.example/"}, "url"),
        ({"events": ["deployment.exploded"]}, "events"),
        ({"events": []}, "events"),
        ({"description": "two\nlines"}, "description"),
    ],
)
async def test_what_cannot_be_is_refused_by_its_field(api: Api, changed: dict[str, Any], field: str) -> None:
    async with api.caller("admin") as admin:
        answer = await admin.post("/v1/webhooks", json=ASKED | changed)
        assert answer.status_code == 400
        assert answer.json()["error"]["details"]["errors"][0]["field"] == field


async def test_a_cursor_of_no_page_is_refused(api: Api) -> None:
    async with api.caller("admin") as admin:
        webhook = (await made(admin))["webhook"]
        answer = await admin.get(f"/v1/webhooks/{webhook['id']}/deliveries", params={"cursor": "x"})
        assert answer.status_code == 400
