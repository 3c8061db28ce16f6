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
from dg.core.access.models import SYSTEM
from dg.core.database import Statement, Tx
from dg.core.deployments import store as deployment_store
from dg.core.deployments.models import CreateDeployment
from dg.core.drift import store as drift_store
from dg.core.drift.models import Deployed, DriftStatus, Finding
from dg.core.environments.models import Ciphertext, UpdateEnvironment
from dg.core.errors import Invalid, Stale
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
        ("PUT", "/secrets/session_key", {"ciphertext": CANARY}),
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
        ("/secrets/session_key", {"value": CANARY, "ciphertext": CANARY}),
        ("/secrets/session_key", {"unset": False}),
        ("/secrets/session_key", {"sealed": {"key": "0" * 32, "version": 1, "box": CANARY}}),
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


async def test_the_client_seals_secrets_and_hands_ciphertexts_on(api: Api) -> None:
    transport = httpx.ASGITransport(app=api.app, client=("203.0.113.9", 40000))
    token = await api.token("admin", name="ana")
    staging = Environment.STAGING
    async with Client("http://127.0.0.1", token, transport=transport) as client:
        key = (await client.environments.sealing_key(staging, "session_key")).key
        made = await client.environments.seal_secret(staging, "session_key", CANARY, sealing_key=key)
        assert (made.secrets["session_key"].grade, made.version) == ("sealed", 1)
        with pytest.raises(Invalid, match="nothing was sent"):
            await client.environments.seal_secret(staging, "session_key", CANARY, sealing_key="0" * 32)
        text = Ciphertext(ciphertext="YWdl")
        after = await client.environments.set_secret(staging, "kube_token", text, expected=1)
        listed = await client.environments.secrets(staging)
        assert [(each.name, each.grade, each.old) for each in listed] == [
            ("kube_token", "runner_only", False),
            ("session_key", "sealed", False),
        ]
        assert after.secrets["kube_token"].grade == "runner_only"
    async with api.caller("viewer") as viewer, api.caller() as stranger:
        found = await viewer.get(f"{STAGING}/secrets/session_key/sealing-key")
        assert (found.json()["key"], found.json()["version"]) == (key, 2)
        assert (await stranger.get(f"{STAGING}/secrets/session_key/sealing-key")).status_code == 401
        assert (await viewer.get(f"{STAGING}/secrets/api_key_/sealing-key")).status_code == 400


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


RUNS: dict[str, Any] = {
    "web": {"url": "https://staging.example.com/version", "pointer": "/commit", "interval": 30, "timeout": 5},
    "api": {"command": ["cat", "/srv/api/REVISION"], "interval": 60, "timeout": 10},
}
SAYING = {"command": ["echo", "v2.13.0"]}


async def test_what_says_what_runs_is_part_of_an_environment(api: Api) -> None:
    async with api.caller("admin") as admin:
        made = await admin.put(STAGING, json=CONFIG | {"runs": RUNS})
        assert made.json()["runs"] == RUNS
        assert (await admin.put(STAGING, json=CONFIG)).json()["runs"] == RUNS
        found = (await admin.get(STAGING)).json()
        back = {name: found[name] for name in ("domain", "config", "secrets", "targets", "links", "runs")}
        assert (await admin.put(STAGING, json=back)).json()["version"] == 1
        gone = await admin.put(STAGING, json=CONFIG | {"runs": {}})
        assert gone.json()["runs"] == {}
        diff = (await admin.get(f"{STAGING}/diff")).json()["items"]
        assert [each["key"] for each in diff] == ["runs.api", "runs.web"]
        restored = await admin.put(f"{STAGING}/restore", json={"version": 1})
        assert restored.json()["runs"] == RUNS


async def test_drift_is_listed_accepted_and_taken_back(api: Api) -> None:
    async with api.caller("admin") as admin, api.caller("viewer") as viewer:
        await admin.put(STAGING, json=CONFIG | {"runs": {"web": SAYING}})
        (unseen,) = (await viewer.get(f"{STAGING}/drift")).json()["items"]
        assert unseen["status"] == "unknown"
        accept = {"reason": "hotfix", "for": "2d"}
        where = f"{STAGING}/drift/web"
        assert reason(await viewer.put(where, json=accept)) == (403, "forbidden")
        assert reason(await admin.put(where, json=accept)) == (409, "no_drift")
        assert reason(await admin.put(f"{STAGING}/drift/api", json=accept))[0] == 404
        await keep_drift(api)
        made = (await admin.put(where, json=accept)).json()
        assert (made["status"], made["acceptance"]["reason"]) == ("accepted", "hotfix")
        (seen,) = (await viewer.get(f"{STAGING}/drift")).json()["items"]
        assert seen | {"checked_at": ""} == made | {"checked_at": ""}
        back = (await admin.put(where, json={"reason": "done", "withdraw": True})).json()
        assert (back["status"], back["found"]) == ("drifted", "v2.13.0")
        assert "acceptance" not in back


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reason": "x"},
        {"for": "2d"},
        {"withdraw": True},
        {"reason": "x", "withdraw": False},
        {"reason": "x", "for": "100d"},
        {"reason": "x", "until": "2020-01-01T00:00:00Z"},
        {"reason": "x", "for": "2d", "until": "2030-01-01T00:00:00Z"},
        {"reason": "x", "for": "2d", "withdraw": True},
    ],
)
async def test_a_difference_is_accepted_with_a_reason_and_an_end(api: Api, body: dict[str, Any]) -> None:
    async with api.caller("admin") as admin:
        await admin.put(STAGING, json=CONFIG | {"runs": {"web": SAYING}})
        await keep_drift(api)
        assert (await admin.put(f"{STAGING}/drift/web", json=body)).status_code == 400


async def test_the_client_speaks_of_drift(api: Api) -> None:
    transport = httpx.ASGITransport(app=api.app, client=("203.0.113.9", 40000))
    token = await api.token("admin", name="ana")
    async with Client("http://127.0.0.1", token, transport=transport) as client:
        staging = Environment.STAGING
        wish = UpdateEnvironment.model_validate(CONFIG | {"runs": {"web": SAYING}})
        made = await client.environments.update(staging, wish)
        assert made.runs["web"].command == ("echo", "v2.13.0")
        await keep_drift(api)
        (found,) = await client.environments.drift(staging)
        assert found.status is DriftStatus.DRIFTED
        accepted = await client.environments.accept_drift(staging, "web", reason="hotfix", lasting="2d")
        assert accepted.acceptance is not None
        assert accepted.acceptance.by_name == "ana"
        assert (
            await client.environments.withdraw_drift(staging, "web", reason="done")
        ).status is DriftStatus.DRIFTED


async def keep_drift(api: Api) -> None:
    """What a check of `web` found out twice, and goes on finding, beside what dg deployed there."""
    await api.core.pipelines.register(SYSTEM, api.pipeline("web"))
    later = api.core.clock.micros() + 3600 * 1_000_000
    wish = CreateDeployment(service="web", environment=Environment.STAGING, ref="main", not_before=later)
    made = await api.core.deployments.create(SYSTEM, wish)
    deployed = Deployed(
        deployment=made.id, number=made.number, version=made.version, commit_sha=made.commit_sha
    )

    def work(tx: Tx) -> None:
        deployment_store.set_lane(tx, "web", "staging", current=made.id)
        finding = Finding(checked_at=2, drifted=True, found="v2.13.0", deployed=deployed, since=1)
        drift_store.keep(tx, Environment.STAGING, "web", finding)

    await api.core.environments._db.write(work)
