"""Health and probes over HTTP and the WebSocket, with a shop that breaks and heals on loopback."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.conftest import Api
from tests.api.test_deployments import reason
from tests.api.test_keys import bearing, holder
from tests.api.test_socket import dial, hear
from tests.api.waiting import until
from tests.core.health.targets import OK, answering, talking

from dg.api.app import create_app
from dg.api.server import listen
from dg.client.app import Client
from dg.core.access.models import SYSTEM, IssuedKey, Scope
from dg.core.app import open_core
from dg.core.environments.models import UpdateEnvironment
from dg.core.health.models import Status
from dg.core.types import Environment
from dg.settings import Settings
from dg.settings.server import Server

STAGING = "/v1/environments/staging"
BAD = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
DNS: dict[str, Any] = {"kind": "dns", "service": "shop", "host": "localhost", "interval": "1h"}


@pytest.fixture
async def open_inside(tmp_path: Path, first_home: Path, repository: Path) -> AsyncIterator[Api]:
    """An API that may ask this machine."""
    home = shutil.copytree(first_home, tmp_path / "inside")
    settings = Settings.model_validate({"home": home, "outbound": {"allow": ["127.0.0.0/8"]}})
    async with open_core(settings) as core:
        app = create_app(core, settings)
        yield Api(core, app, repository)
        app.stop()


async def configure(api: Api, **probes: Any) -> None:
    wish = UpdateEnvironment(domain="staging.example.com", config={}, probes=probes)
    await api.core.environments.update(SYSTEM, Environment.STAGING, wish)


@pytest.mark.parametrize(
    ("role", "path", "body", "allowed"),
    [
        ("viewer", "/probes/web/test", {}, False),
        ("approver", "/probes/pulse/beat", {}, False),
        ("operator", "/probes/web", {"definition": DNS}, False),
        ("operator", "/probes/web/test", {"definition": DNS}, False),
        ("operator", "/probes/web/test", {}, True),
        ("operator", "/probes/pulse/beat", {"ok": False, "message": "late"}, True),
        ("admin", "/probes/web", {"definition": DNS}, True),
    ],
)
async def test_who_may_do_what_with_probes(
    api: Api, role: str, path: str, body: dict[str, Any], allowed: bool
) -> None:
    await configure(api, web=DNS, pulse={"kind": "heartbeat", "service": "job", "interval": "1h"})
    async with api.caller() as stranger, api.caller(role) as caller:
        assert reason(await stranger.put(STAGING + path, json=body))[0] == 401
        answer = await caller.put(STAGING + path, json=body)
        assert answer.is_success if allowed else reason(answer) == (403, "forbidden")


async def test_who_may_not_set_secrets_has_none_sent_anywhere(api: Api) -> None:
    role = {"name": "gardener", "actions": ["environment:read", "environment:update", "probe:test"]}
    sends = {**DNS, "kind": "http", "url": "http://evil.example/", "secret_headers": {"X-Key": "session_key"}}
    del sends["host"]
    async with api.caller("admin") as admin:
        assert (await admin.post("/v1/security/access/roles", json=role)).is_success
    async with api.caller("gardener") as gardener:
        assert (await gardener.put(f"{STAGING}/probes/web", json={"definition": DNS})).is_success
        for path, body in (
            ("/probes/web", {"definition": sends}),
            ("/probes/web/test", {"definition": sends}),
            ("", {"domain": "a.example", "config": {}, "probes": {"web": sends}}),
        ):
            assert reason(await gardener.put(STAGING + path, json=body)) == (403, "forbidden")


async def test_a_probe_is_a_part_of_the_environment_with_its_history(api: Api) -> None:
    async with api.caller("admin") as admin:
        first = await admin.put(f"{STAGING}/probes/web", json={"definition": DNS, "reason": "watch it"})
        assert first.json()["probes"] == {"web": DNS}
        stale = await admin.put(
            f"{STAGING}/probes/web",
            json={"definition": {**DNS, "interval": "5s"}},
            headers={"if-match": '"0"'},
        )
        assert stale.status_code == 412
        await admin.put(f"{STAGING}/probes/web", json={"definition": {**DNS, "interval": "5s"}})
        diff = (await admin.get(f"{STAGING}/diff")).json()
        assert [item["key"] for item in diff["items"]] == ["probes.web.interval"]
        assert (await admin.put(f"{STAGING}/probes/web", json={"remove": True})).json()["probes"] == {}
        assert (await admin.get(f"{STAGING}/probes")).json() == {"items": []}
        assert reason(await admin.put(f"{STAGING}/probes/web", json={"remove": True}))[0] == 404
        await admin.put(f"{STAGING}/restore", json={"version": 1})
        [found] = (await admin.get(f"{STAGING}/probes")).json()["items"]
        assert (found["name"], found["definition"]) == ("web", DNS)
        events = await api.core.feed.read(SYSTEM, filter="type=environment.updated")
        assert "probes.web.kind" in events[0].payload["changed"]


@pytest.mark.parametrize(
    ("definition", "field"),
    [
        ({**DNS, "interval": "500ms"}, "probes.web.interval"),
        ({**DNS, "tiemout": "1s"}, "probes.web.tiemout"),
        ({**DNS, "depends_on": ["db"]}, "probes.web.depends_on"),
        ({**DNS, "depends_on": ["web"]}, "probes.web.depends_on"),
        ({**DNS, "kind": "smoke"}, "probes.web.kind"),
        ({"kind": "command", "service": "shop", "run": ["true"]}, "probes.web.kind"),
        ({**DNS, "maintenance": [{"at": "0 25 * * *", "for": "1h", "tz": "UTC"}]}, "probes.web.maintenance"),
        (
            {"kind": "http", "service": "shop", "url": "http://a/", "headers": {"Host": "b"}},
            "probes.web.headers",
        ),
    ],
)
async def test_a_definition_that_does_not_hold_is_refused_by_its_field(
    api: Api, definition: dict[str, Any], field: str
) -> None:
    async with api.caller("admin") as admin:
        answer = await admin.put(f"{STAGING}/probes/web", json={"definition": definition})
        assert answer.status_code == 400
        assert answer.json()["error"]["details"]["errors"][0]["field"].startswith(field)


async def test_an_environment_without_probes_is_not_called_healthy(api: Api) -> None:
    async with api.caller("viewer") as viewer:
        found = (await viewer.get(f"{STAGING}/health")).json()
    assert (found["status"], found["known"], found["services"]) == ("degraded", False, [])


async def test_a_shop_breaks_and_heals_before_everybody_s_eyes(open_inside: Api) -> None:
    api, broken = open_inside, False

    async def talk(reader: Any, writer: Any) -> None:
        await answering(BAD if broken else OK)(reader, writer)

    async with (
        talking(talk) as port,
        listen(api.app, Server(port=0)) as server,
        dial(server, {"type": "auth", "token": await api.token("viewer")}) as ws,
        Client(f"http://127.0.0.1:{server.port}", await api.token("admin")) as dg,
    ):
        web = {
            "kind": "http",
            "service": "shop",
            "url": f"http://127.0.0.1:{port}/",
            "interval": 1,
            "fail_after": 2,
        }
        await dg.health.set_probe(Environment.STAGING, "web", web)
        heard = [await hear(ws)]
        found = await dg.health.get(Environment.STAGING)
        assert (found.status, found.known, found.message) == ("healthy", True, "all services are healthy")
        assert found.services[0].response_time is not None
        assert found.services[0].last_checked is not None
        broken = True
        heard.append(await hear(ws))
        found = await dg.health.get(Environment.STAGING)
        assert (found.status, found.services[0].status) == ("unhealthy", Status.UNHEALTHY)
        assert found.services[0].message == "answers 500, not 2xx"
        assert (await dg.health.test(Environment.STAGING, "web")).facts["status"] == 500
        broken = False
        heard.append(await hear(ws))

        async def kept() -> bool:
            history = await dg.health.history(Environment.STAGING, service="shop", step="1m")
            return sum(span.passed for span in history.items[0].spans) >= 3

        await until(kept)
        api.app.stop()
    assert {message["type"] for message in heard} == {"environment_health_change"}
    assert [message["payload"]["status"] for message in heard] == ["healthy", "unhealthy", "healthy"]
    assert (
        heard[1]["payload"] | {"probe": "web", "service": "shop", "environment": "staging"}
        == (heard[1]["payload"])
    )


async def test_a_heartbeat_takes_beats_and_nothing_else_does(api: Api) -> None:
    await configure(api, web=DNS, pulse={"kind": "heartbeat", "service": "job", "interval": "1h"})
    async with api.caller("operator", service="job", environment="staging") as job:
        beaten = await job.put(f"{STAGING}/probes/pulse/beat", json={})
        assert beaten.json()["status"] == "healthy"
        late = await job.put(f"{STAGING}/probes/pulse/beat", json={"ok": False, "message": "no\nroom"})
        assert (late.json()["status"], late.json()["message"]) == ("unhealthy", "no␊room")
        assert reason(await job.put(f"{STAGING}/probes/web/beat", json={}))[0] == 403
    async with api.caller("operator") as operator:
        assert reason(await operator.put(f"{STAGING}/probes/web/beat", json={})) == (409, "not_pushed")
        assert reason(await operator.put(f"{STAGING}/probes/pulse/test", json={})) == (409, "pushed")
        assert reason(await operator.put(f"{STAGING}/probes/gone/test", json={}))[0] == 404


async def test_no_key_but_its_own_beats_a_heartbeat(api: Api) -> None:
    await configure(api, pulse={"kind": "heartbeat", "service": "job", "interval": "1h"})
    path, staging = f"{STAGING}/probes/pulse/beat", Environment.STAGING

    async def key(service: str | None, environment: Environment | None, **options: Any) -> IssuedKey:
        scope = Scope(action="probe:beat", environment=environment, service=service)
        return await api.core.keys.create(SYSTEM, name="pulse", scopes=[scope], **options)

    own, revoked = await key("job", staging), await key("job", staging)
    await api.core.keys.revoke(SYSTEM, revoked.key.id)
    forged = own.secret[:-1] + ("0" if own.secret[-1] != "0" else "1")
    refused = {
        forged: 401,
        own.secret.upper(): 401,
        revoked.secret: 401,
        (await key("job", staging, addresses=["192.0.2.0/24"])).secret: 401,
        (await key("job", Environment.PRODUCTION)).secret: 403,
        (await key("shop", staging)).secret: 403,
    }
    for secret, status in refused.items():
        async with holder(api, bearing(secret)) as caller:
            assert (await caller.put(path, json={})).status_code == status
    async with api.caller("viewer") as viewer:
        found = (await viewer.get(f"{STAGING}/probes")).json()["items"]
        assert [each["status"] for each in found] == ["unknown"]
    async with holder(api, bearing(own.secret)) as caller:
        assert (await caller.put(path, json={})).json()["status"] == "healthy"


async def test_history_is_bounded(api: Api) -> None:
    await configure(api, web=DNS)
    async with api.caller("viewer") as viewer:
        assert (await viewer.get(f"{STAGING}/health/history?step=1s")).status_code == 400
        turned = "since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z"
        assert (await viewer.get(f"{STAGING}/health/history?{turned}")).status_code == 400
        long = "since=2020-02-01T00:00:00Z&until=2026-01-01T00:00:00Z"
        found = (await viewer.get(f"{STAGING}/health/history?{long}")).json()
        assert found["step"] % 86_400 == 0
