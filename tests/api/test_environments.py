"""Environments over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from tests.api.conftest import Api
from tests.api.test_deployments import reason

from dg.api import idempotency
from dg.client.app import Client
from dg.core import schema
from dg.core.database import Statement
from dg.core.environments.models import UpdateEnvironment
from dg.core.errors import Stale
from dg.core.types import Environment

KEPT = Statement(sa.select(schema.idempotency.c.fingerprint))
CANARY = "canary-7f3e91-do-not-show"
STAGING = "/v1/environments/staging"
CONFIG: dict[str, Any] = {
    "domain": "staging.example.com",
    "config": {
        "workers": 4,
        "database_url": f"postgresql://app:{CANARY}@db/app",
        "redis_url": f"redis://:{CANARY}@r/0",
        "api_keys": {"mail": CANARY},
    },
    "secrets": {"session_key": CANARY},
    "targets": {"hosts": ["web-1"]},
    "links": {"since": "https://d.example/"},
    "protection": {"windows": [{"deny": "0 17 * * FRI", "for": "63h", "tz": "Europe/Berlin"}]},
    "reason": "first",
}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "", CONFIG),
        ("PUT", "?dry_run=true", CONFIG),
        ("PUT", "/restore", {"version": 0}),
        ("PUT", "/secrets/session_key", {"value": CANARY}),
    ],
)
async def test_strangers_and_operators_change_nothing(
    api: Api, method: str, path: str, body: dict[str, Any]
) -> None:
    async with api.caller() as stranger, api.caller("operator") as operator:
        assert reason(await stranger.request(method, STAGING + path, json=body))[0] == 401
        assert reason(await operator.request(method, STAGING + path, json=body)) == (403, "forbidden")
        assert (await operator.get(STAGING)).json()["version"] == 0


async def test_an_environment_from_nothing_to_its_history(api: Api) -> None:
    async with api.caller("admin", name="ana") as admin, api.caller("viewer") as viewer:
        names = [each["name"] for each in (await viewer.get("/v1/environments")).json()["items"]]
        assert names == ["development", "staging", "production"]
        planned = (await admin.put(STAGING, params={"dry_run": "true"}, json=CONFIG)).json()
        assert (planned["version"], len(planned["changes"])) == (0, 9)
        made = await admin.put(STAGING, json=CONFIG)
        assert made.json()["version"] == 1
        assert made.json()["config"]["workers"] == 4
        assert made.json()["config"]["api_keys"] == {"mail": "********"}
        assert made.json()["secrets"]["api_key_mail"]["set"] is True
        assert "changes" not in made.json()
        found = await viewer.get(STAGING)
        assert found.headers["etag"] == made.headers["etag"]
        assert (
            await viewer.get(STAGING, headers={"if-none-match": found.headers["etag"]})
        ).status_code == 304
        back = {
            name: found.json()[name]
            for name in ("domain", "config", "secrets", "targets", "links", "protection")
        }
        assert (await admin.put(STAGING, json=back)).json() == found.json()
        assert (await admin.put(f"{STAGING}/secrets/session_key", json={"unset": True})).json()[
            "version"
        ] == 2
        again = await admin.put(f"{STAGING}/restore", json={"version": 1, "reason": "it was needed"})
        assert again.json()["secrets"]["session_key"]["version"] == 1
        page = (await viewer.get(f"{STAGING}/history", params={"limit": 2})).json()
        assert [each.get("restored") for each in page["items"]] == [1, None]
        diff = (await viewer.get(f"{STAGING}/diff", params={"from": 2, "to": 3})).json()
        assert [each["key"] for each in diff["items"]] == ["secrets.session_key"]
        other = (await viewer.get(f"{STAGING}/diff", params={"with": "production"})).json()
        assert (other["before"], other["after"], len(other["items"])) == ("staging@3", "production@0", 9)


async def test_a_change_from_an_older_version_is_refused_with_who_made_the_newer(api: Api) -> None:
    async with api.caller("admin", name="ana") as ana, api.caller("admin", name="ben") as ben:
        old = (await ben.get(STAGING)).headers["etag"]
        made = await ana.put(STAGING, json=CONFIG, headers={"if-match": old})
        for path, body in (("", CONFIG), ("/restore", {"version": 0}), ("/secrets/x", {"value": CANARY})):
            answer = await ben.put(STAGING + path, json=body, headers={"if-match": old})
            assert reason(answer) == (412, "stale")
            assert answer.json()["error"]["details"]["changed_by_name"] == "ana"
        fresh = {"if-match": made.headers["etag"]}
        assert (
            await ben.put(f"{STAGING}/secrets/x", json={"value": CANARY}, headers=fresh)
        ).status_code == 200


async def test_two_environments_of_one_version_have_their_own_answers_when_compressed(api: Api) -> None:
    async with api.caller("admin") as admin:
        long = {"note": "x" * 5000}
        for name in ("staging", "production"):
            await admin.put(
                f"/v1/environments/{name}", json={"domain": f"{name}.example.com", "config": long}
            )
        for name in ("staging", "production"):
            answer = await admin.get(f"/v1/environments/{name}", headers={"accept-encoding": "gzip"})
            assert (answer.headers["content-encoding"], answer.json()["name"]) == ("gzip", name)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("", {"domain": "d.example.com"}),
        ("", CONFIG | {"more": 1}),
        ("", CONFIG | {"protection": {"approvals": {"count": 0}}}),
        ("", CONFIG | {"config": {"redis_url": CANARY}}),
        ("/secrets/session_key", {}),
        ("/secrets/session_key", {"value": CANARY, "unset": True}),
        ("/secrets/session_key", {"value": "short"}),
        ("/restore", {"version": -1}),
    ],
)
async def test_what_cannot_be_is_refused_and_not_repeated(api: Api, path: str, body: dict[str, Any]) -> None:
    async with api.caller("admin") as admin:
        answer = await admin.put(STAGING + path, json=body)
        assert answer.status_code == 400
        assert CANARY not in answer.text
        assert "short" not in answer.json()["error"]["message"].replace("shorter", "")


async def test_no_answer_has_a_secret(api: Api) -> None:
    async with api.caller("admin") as admin:
        answers: list[httpx.Response] = [
            await admin.put(STAGING, params={"dry_run": "true"}, json=CONFIG),
            await admin.put(STAGING, json=CONFIG),
            await admin.put(f"{STAGING}/secrets/late", json={"value": f"{CANARY}-late"}),
            await admin.put(f"{STAGING}/restore", json={"version": 1}),
            await admin.put(STAGING, json=CONFIG, headers={"if-match": '"1"'}),
        ]
        paths = ["", "?version=1", "/history", "/diff?from=0", "/diff?with=production"]
        answers += [await admin.get(STAGING + path) for path in paths]
        answers += [
            await admin.get(path) for path in ("/v1/environments", "/v1/events", "/v1/audit", "/metrics")
        ]
        answers.append(await admin.get("/v1/diagnostics"))
        assert [answer.url for answer in answers if CANARY in f"{answer.text}{answer.headers}"] == []


async def test_the_client_speaks_of_environments(api: Api) -> None:
    transport = httpx.ASGITransport(app=api.app, client=("203.0.113.9", 40000))
    token = await api.token("admin", name="ana")
    async with Client("http://127.0.0.1", token, transport=transport) as client:
        request = UpdateEnvironment.model_validate(CONFIG)
        staging = Environment.STAGING
        assert len((await client.environments.preview(staging, request)).changes or ()) == 9
        made = await client.environments.update(staging, request, expected=0)
        assert (made.version, made.links, made.protection) == (1, CONFIG["links"], CONFIG["protection"])
        with pytest.raises(Stale, match="ana changed it"):
            await client.environments.set_secret(staging, "x", CANARY, expected=0)
        gone = await client.environments.set_secret(staging, "session_key", None, reason="not used")
        assert set(gone.secrets) == {"database_url", "redis_url", "api_key_mail"}
        assert (await client.environments.restore(staging, 1)).secrets["session_key"].version == 1
        assert [each.version for each in (await client.environments.history(staging)).items] == [3, 2, 1]
        diff = await client.environments.diff(staging, other=Environment.PRODUCTION)
        assert len(diff.items) == 9
        assert (await client.environments.list())[1].version == 3
        assert await client.environments.get(staging, 2) == gone


async def test_a_change_whose_answer_was_lost_is_repeated_and_gets_the_first_answer(api: Api) -> None:
    async with api.caller("admin", name="ana") as ana, api.caller("admin", name="ben") as ben:
        for path, body, since in (
            ("", CONFIG, "0"),
            ("/secrets/late", {"value": f"{CANARY}-late"}, "2"),
            ("/restore", {"version": 1}, "4"),
        ):
            headers = {"if-match": f'"{since}"', "idempotency-key": f"of{path}"}
            first = await ana.put(STAGING + path, json=body, headers=headers)
            assert (first.status_code, first.json()["version"]) == (200, int(since) + 1), first.text
            await ben.put(f"{STAGING}/secrets/other", json={"value": f"other-{since}"})
            again = await ana.put(STAGING + path, json=body, headers=headers)
            assert (again.status_code, again.json()) == (200, first.json())
            assert again.headers["etag"] == first.headers["etag"]
            assert (await ana.get(STAGING)).json()["version"] == int(since) + 2
            other = await ana.put(STAGING + path, json=body | {"reason": "another"}, headers=headers)
            assert reason(other)[0] == 422
        kept = await api.core.environments._db.read(lambda tx: [row["fingerprint"] for row in tx.all(KEPT)])
        plain = {"value": f"{CANARY}-late"}
        told = idempotency.once("k", "PUT", f"{STAGING}/secrets/late", plain)
        assert len(kept) == 3
        assert told is not None
        assert told.fingerprint not in kept
