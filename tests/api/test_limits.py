"""Rate limits as callers meet them: whose request it is, what its answer says, and who is never refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.conftest import Api
from tests.api.frame import DOCUMENT, FakeAccess, Things, make_app, make_client
from tests.api.test_frame import problem

from dg.api import contract
from dg.api.app import create_app
from dg.api.contract import ContractError
from dg.api.limits import check_classes
from dg.core.access.models import Origin, Principal
from dg.core.testing import NOON, ManualClock
from dg.settings.server import Limits

NAMES = ("limit", "remaining", "reset", "window")
TOKEN = {"authorization": "Bearer operator"}


def stated(answer: httpx.Response) -> tuple[str, ...]:
    """The X-RateLimit headers of an answer."""
    return tuple(answer.headers[f"x-ratelimit-{name}"] for name in NAMES)


async def test_every_answer_says_where_its_caller_stands(tmp_path: Path) -> None:
    app = make_app(Things(), tmp_path, limits={"read": "100/1h"})
    async with make_client(app) as client:
        answers = [await client.get("/v1/things", headers=TOKEN) for _ in range(2)]
    now = NOON // 1_000_000
    assert stated(answers[1]) == ("100", "98", str(now + 72), "1h")
    assert answers[1].headers["ratelimit-policy"] == '"read";q=100;w=3600'
    assert answers[1].headers["ratelimit"] == '"read";r=98;t=72'
    assert "retry-after" not in answers[1].headers


async def test_one_too_many_is_refused_with_the_specification_s_object(tmp_path: Path) -> None:
    clock = ManualClock()
    app = make_app(Things(), tmp_path, limits={"read": "2/1m"}, clock=clock)
    async with make_client(app) as client:
        for _ in range(2):
            assert (await client.get("/v1/things", headers=TOKEN)).status_code == 200
        refused = await client.get("/v1/things", headers=TOKEN)
        error = problem(refused, 429, "VALIDATION_ERROR", "rate_limited")
        now = clock.micros() // 1_000_000
        assert error["details"]["rate_limit"] == {
            "limit": 2,
            "remaining": 0,
            "reset": now + 60,
            "window": "1m",
        }
        assert error["details"]["rate_class"] == "read"
        assert "limits.read" in error["message"]
        assert refused.headers["retry-after"] == "30"
        assert stated(refused) == ("2", "0", str(now + 60), "1m")
        await clock.advance(30)
        assert (await client.get("/v1/things", headers=TOKEN)).status_code == 200


async def test_classes_and_principals_are_counted_apart(tmp_path: Path) -> None:
    app = make_app(Things(), tmp_path, limits={"read": "1/1m", "write": "1/1m"})
    async with make_client(app) as client:
        for token in ("operator", "viewer"):
            headers = {"authorization": f"Bearer {token}"}
            assert (await client.get("/v1/things", headers=headers)).status_code == 200
            assert (await client.post("/v1/things", headers=headers, json={"name": "a"})).status_code == 201
            assert (await client.get("/v1/things", headers=headers)).status_code == 429
            assert (await client.post("/v1/things", headers=headers, json={"name": "a"})).status_code == 429


async def test_one_principal_is_one_caller_whatever_its_address(tmp_path: Path) -> None:
    app = make_app(Things(), tmp_path, limits={"read": "1/1m"})
    async with make_client(app, "203.0.113.9") as here, make_client(app, "198.51.100.7") as there:
        assert (await here.get("/v1/things", headers=TOKEN)).status_code == 200
        spoofed = {**TOKEN, "x-forwarded-for": "192.0.2.1"}
        assert (await there.get("/v1/things", headers=spoofed)).status_code == 429


async def test_a_refused_request_has_no_effect_and_its_body_is_not_read(tmp_path: Path) -> None:
    things = Things()
    async with make_client(make_app(things, tmp_path, limits={"write": "1/1m"})) as client:
        await client.post("/v1/things", headers=TOKEN, json={"name": "a"})
        answer = await client.post("/v1/things", headers=TOKEN, content=b"no json at all")
        assert answer.status_code == 429
    assert things.made == [{"name": "a"}]


async def test_strangers_are_counted_by_address(tmp_path: Path) -> None:
    app = make_app(Things(), tmp_path, limits={"open": "2/1m"})
    async with make_client(app) as client, make_client(app, "203.0.113.10") as other:
        assert [(await client.delete("/v1/things/all")).status_code for _ in range(3)] == [409, 409, 429]
        assert (await client.get("/v1/nothing")).status_code == 429
        assert (await client.get("/v1/things", headers=TOKEN)).status_code == 200
        assert (await other.get("/v1/nothing")).status_code == 404


async def test_an_ipv6_customer_s_whole_network_is_one_address(tmp_path: Path) -> None:
    app = make_app(Things(), tmp_path, limits={"open": "1/1m"})
    async with make_client(app, "2001:db8::1") as one, make_client(app, "2001:db8::ffff:2") as two:
        assert (await one.get("/v1/nothing")).status_code == 404
        assert (await two.get("/v1/nothing")).status_code == 429


@pytest.mark.parametrize(
    ("peer", "trusted", "status"), [("203.0.113.1", (), 429), ("203.0.113.1", ("203.0.113.1",), 404)]
)
async def test_only_a_trusted_proxy_speaks_for_others(
    tmp_path: Path, peer: str, trusted: tuple[str, ...], status: int
) -> None:
    app = make_app(Things(), tmp_path, limits={"open": "1/1m"}, trusted_proxies=trusted)
    async with make_client(app, peer) as client:
        await client.get("/v1/nothing", headers={"x-forwarded-for": "198.51.100.1"})
        answer = await client.get("/v1/nothing", headers={"x-forwarded-for": "198.51.100.2"})
        assert answer.status_code == status


async def test_tokens_that_prove_nothing_are_counted_by_address(tmp_path: Path) -> None:
    app = make_app(Things(), tmp_path, limits={"failed": "3/1m"})
    async with make_client(app) as client:
        answers = [
            await client.get("/v1/things", headers={"authorization": f"Bearer guess{number}"})
            for number in range(4)
        ]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
        assert answers[0].headers["x-ratelimit-remaining"] == "2"
        assert answers[3].json()["error"]["details"]["rate_class"] == "failed"


async def test_a_good_token_is_not_refused_for_what_its_neighbours_send(tmp_path: Path) -> None:
    app = make_app(Things(), tmp_path, limits={"failed": "1/1m"})
    async with make_client(app) as client:
        for status in (401, 429, 429):
            guess = await client.get("/v1/things", headers={"authorization": "Bearer guess"})
            assert guess.status_code == status
        assert (await client.get("/v1/things", headers=TOKEN)).status_code == 200


async def test_a_token_that_failed_is_not_looked_at_again_while_there_were_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, looked = ManualClock(), []
    real = FakeAccess.authenticate

    async def authenticate(self: FakeAccess, credential: str, origin: Origin | None = None) -> Principal:
        looked.append(credential)
        return await real(self, credential, origin)

    monkeypatch.setattr(FakeAccess, "authenticate", authenticate)
    app = make_app(Things(), tmp_path, limits={"failed": "1/1m"}, clock=clock)
    async with make_client(app) as client:
        for _ in range(5):
            await client.get("/v1/things", headers={"authorization": "Bearer guess"})
        assert looked == ["guess"]
        await client.get("/v1/things", headers={"authorization": "Bearer another"})
        assert looked == ["guess", "another"]
        await clock.advance(60)
        again = await client.get("/v1/things", headers={"authorization": "Bearer guess"})
        assert (again.status_code, looked) == (401, ["guess", "another", "guess"])


async def test_this_machine_is_not_counted_by_address(tmp_path: Path) -> None:
    app = make_app(Things(), tmp_path, limits={"open": "1/1m", "failed": "1/1m"})
    async with make_client(app, "127.0.0.1") as client:
        for _ in range(3):
            answer = await client.get("/v1/nothing")
            assert answer.status_code == 404
            assert "ratelimit" not in answer.headers
            assert (await client.get("/v1/things")).status_code == 401


async def test_a_class_can_be_turned_off(tmp_path: Path) -> None:
    app = make_app(Things(), tmp_path, limits={"read": "off"})
    async with make_client(app) as client:
        answer = await client.get("/v1/things", headers=TOKEN)
        assert not [name for name in answer.headers if "ratelimit" in name]


def with_class(name: str) -> list[contract.Operation]:
    document: dict[str, Any] = {
        **DOCUMENT,
        "paths": {"/a": {"get": {"operationId": "a", "x-rate-class": name, "responses": {}}}},
    }
    return list(contract.operations(document))


@pytest.mark.parametrize("name", ["open", "login", "sometimes"])
def test_a_class_that_does_not_fit_its_callers_stops_the_start(name: str) -> None:
    check_classes(with_class("deploy"))
    with pytest.raises(ContractError, match="x-rate-class is one of read, write, deploy, stream"):
        check_classes(with_class(name))


async def test_health_is_never_counted(api: Api) -> None:
    async with api.caller() as stranger:
        for path in ("/health", "/v1/health"):
            assert not [name for name in (await stranger.get(path)).headers if "ratelimit" in name]
        assert (await stranger.get("/v1/versions")).headers["ratelimit-policy"].startswith('"open"')


async def test_a_caller_is_told_where_it_stands_in_each_class(api: Api) -> None:
    async with api.caller("viewer") as viewer:
        await viewer.get("/v1/deployments")
        items = {item.pop("name"): item for item in (await viewer.get("/v1/limits")).json()["items"]}
        assert items.keys() == {"read", "write", "deploy", "stream"}
        assert items["read"]["remaining"] < items["read"]["limit"]
        assert items["write"]["remaining"] == items["write"]["limit"] == 6000
        assert items["write"]["window"] == "1m"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("device", {"name": "ana", "host": "laptop"}),
        ("token", {"device_code": "x" * 43}),
        ("refresh", {"refresh_token": "x" * 43}),
    ],
)
async def test_who_signs_in_is_counted_by_address_and_apart(
    api: Api, path: str, body: Mapping[str, str]
) -> None:
    async with api.caller() as stranger:
        answer = await stranger.post(f"/v1/sessions/{path}", json=body)
        assert answer.headers["ratelimit-policy"] == '"login";q=300;w=60'


async def test_requests_that_were_one_too_many_are_counted(api: Api) -> None:
    limits = Limits.model_validate({"write": "1/1h"})
    app = create_app(api.core, api.core.settings.model_copy(update={"limits": limits}))
    headers = {"authorization": f"Bearer {await api.token('viewer')}"}
    async with make_client(app) as client:
        for status in (403, 429, 429):
            asked = {"environment": "development", "name": "x", "role": "viewer"}
            assert (await client.post("/v1/tokens", headers=headers, json=asked)).status_code == status
        metrics = (await client.get("/metrics", headers=headers)).text
    assert 'dg_rate_limited_total{rate_class="write"} 2.0' in metrics.splitlines()
    app.stop()


async def test_starting_deployments_counts_apart(api: Api) -> None:
    async with api.caller("operator") as operator:
        answer = await operator.post("/v1/deployments", json={"environment": "development", "ref": "main"})
        assert answer.headers["ratelimit-policy"].startswith('"deploy"')
        followed = await operator.post("/v1/lanes/shop/development/lock", json={})
        assert followed.headers["ratelimit-policy"].startswith('"write"')
