"""What one may not see answers exactly like what does not exist: in operations, lists, counts and events."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.conftest import Api
from tests.api.occasions import OPERATIONS, Declared, Occasions, subscribed

from dg.api.call import PREFIX
from dg.core.access.accounts import Account
from dg.core.access.models import SYSTEM, CreateBinding, Origin, Scope
from dg.core.access.sessions import ApproveLogin, WantedGrant
from dg.core.deployments.models import BlockVersion, CreateDeployment, SetFreeze
from dg.core.environments.models import UpdateEnvironment
from dg.core.testing import eventually
from dg.core.types import Environment
from dg.core.webhooks.models import CreateWebhook

HOUR = 3600 * 1_000_000
ABSENT = "019acd5e-7c00-7000-8000-00000000dead"
CHANGING = {
    "x-request-id",
    "dg-ledger",
    "date",
    "content-length",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "ratelimit",
}
"""Headers that differ between two requests for the same thing."""


@dataclass(frozen=True)
class Corner:
    """A part of the server that somebody cannot see: its service and environment, and what is in it by id."""

    service: str
    environment: str
    ids: dict[str, str]

    def id_for(self, operation: Declared) -> str:
        found = [id_ for begin, id_ in self.ids.items() if operation.path.startswith(begin)]
        assert found, f"say in furnish() how to hide what {operation.path} names"
        return found[0]


def git(repository: Path, *arguments: str) -> str:
    argv = ["git", "-C", str(repository), *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


async def furnish(api: Api, service: str, environment: str) -> Corner:
    """One of everything that has an id, in one lane."""
    core = api.core
    tier, later = Environment(environment), core.clock.micros() + HOUR
    wish = CreateDeployment(
        service=service, environment=tier, ref="main", version="hidden-1", not_before=later
    )
    deployment = await core.deployments.create(SYSTEM, wish)
    older = git(api.repository, "rev-parse", "main~1")
    await core.lanes.block(SYSTEM, service, environment, BlockVersion(version=older, reason="x"))
    freeze = await core.lanes.freeze(
        SYSTEM, SetFreeze(reason="x", until=later, service=service, environment=tier)
    )
    token = await core.tokens.create(SYSTEM, name="x", role="viewer", service=service, environment=tier)
    scope = Scope(role="viewer", service=service, environment=tier)
    key = await core.keys.create(SYSTEM, name="x", scopes=[scope])
    binding = await core.bindings.create(
        SYSTEM,
        CreateBinding(subject="clerk:user_1", role="viewer", service=service, environment=environment),
    )
    webhook = await core.webhooks.create(
        SYSTEM, CreateWebhook(url="http://localhost/", service=service, environment=tier)
    )
    await core.environments.update(SYSTEM, tier, UpdateEnvironment(domain="x.example", config={}))
    backup = await core.backups.make(SYSTEM, tier, "hidden-1")
    return Corner(
        service,
        environment,
        {
            "/environments/": backup.id,
            "/deployments/": deployment.id,
            "/freezes/": freeze.id,
            "/tokens/": token.token.id,
            "/security/access/keys/": key.key.id,
            "/security/access/bindings/": binding.id,
            "/sessions/": await signed_in(api, service, environment),
            "/webhooks/": webhook.webhook.id,
            "/slack/links/": await linked(api),
            "/slack/subscriptions/": await subscribed(api, "C1", service=service, environment=environment),
        },
    )


async def linked(api: Api) -> str:
    """The id of somebody's account in Slack."""
    by = SYSTEM.model_copy(update={"kind": "person"})
    return (await api.core.accounts.link(by, await api.core.accounts.ask(Account("T0SHOP", "U1"), "ana"))).id


async def signed_in(api: Api, service: str, environment: str) -> str:
    """The id of a session of somebody who may look at one lane."""
    device = await api.core.logins.ask(Origin(address="198.51.100.1"), name="ana", host="laptop")
    grant = WantedGrant(role="viewer", service=service, environment=environment)
    wish = ApproveLogin(person="ana", grants=(grant,))
    await api.core.logins.approve(SYSTEM, device.user_code, wish)
    return (await api.core.logins.collect(device.device_code)).session.id


@pytest.fixture
async def hidden_service(api: Api) -> Corner:
    """In the service `secret`, for which the callers of these tests have no grant."""
    for service in ("shop", "secret"):
        await api.core.pipelines.register(SYSTEM, api.pipeline(service))
    return await furnish(api, "secret", "staging")


@pytest.fixture
async def hidden_environment(api: Api) -> Corner:
    """In production, for which the callers of these tests have no grant."""
    await api.core.pipelines.register(SYSTEM, api.pipeline("shop"))
    return await furnish(api, "shop", "production")


@pytest.fixture
async def outsider(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator of the service `shop`, and of nothing else."""
    async with api.caller("admin", service="shop") as client:
        yield client


@pytest.fixture
async def stager(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator of staging, and of nothing else."""
    async with api.caller("admin", environment="staging") as client:
        yield client


def seen(answer: httpx.Response, *echoed: str) -> tuple[int, dict[str, str], str]:
    """An answer without what names the request itself; what was asked for and comes back is made one."""
    body = re.sub(r'"request_id":"[^"]*"', "", answer.text)
    for text in echoed:
        body = body.replace(text, "WHAT-WAS-ASKED-FOR")
    headers = {name: value for name, value in answer.headers.items() if name not in CHANGING}
    return answer.status_code, headers, body


def with_id() -> list[Declared]:
    return [each for each in OPERATIONS.values() if "{id}" in each.path]


def with_lane() -> list[Declared]:
    return [each for each in OPERATIONS.values() if "{service}" in each.path]


async def send(
    client: httpx.AsyncClient, occasions: Occasions, operation: Declared, **values: str
) -> httpx.Response:
    path = operation.path
    for name, value in {"commit": "a" * 40, "environment": "staging", "name": "staging", **values}.items():
        path = path.replace(f"{{{name}}}", value)
    body = occasions.body(operation)
    return await client.request(operation.method, PREFIX + path, json=body)


async def test_an_object_of_another_service_is_not_there(
    api: Api, hidden_service: Corner, outsider: httpx.AsyncClient
) -> None:
    told = await differences(api, outsider, hidden_service)
    assert told == []


async def test_an_object_of_another_environment_is_not_there(
    api: Api, hidden_environment: Corner, stager: httpx.AsyncClient
) -> None:
    told = await differences(api, stager, hidden_environment)
    assert told == []


async def differences(api: Api, caller: httpx.AsyncClient, corner: Corner) -> list[Any]:
    """Operations on an id whose answers tell a hidden object from none."""
    occasions, told = Occasions(api), []
    for operation in with_id():
        hidden = corner.id_for(operation)
        there, nowhere = [
            await send(caller, occasions, operation, id=id_, name=corner.environment)
            for id_ in (hidden, ABSENT)
        ]
        if seen(there, hidden) != seen(nowhere, ABSENT) or there.is_success:
            told.append((operation.id, there.text, nowhere.text))
    return told


async def test_a_lane_and_a_pipeline_of_another_service_are_not_there(
    api: Api, hidden_service: Corner, outsider: httpx.AsyncClient
) -> None:
    occasions, told = Occasions(api), []
    for operation in with_lane():
        there = await send(outsider, occasions, operation, service="secret")
        nowhere = await send(outsider, occasions, operation, service="absent")
        if seen(there, "secret") != seen(nowhere, "absent") or there.is_success:
            told.append((operation.id, there.text, nowhere.text))
    assert told == []


@pytest.mark.parametrize(
    ("operation", "make"),
    [
        ("createDeployment", lambda name: {"service": name, "environment": "staging", "ref": "main"}),
        ("previewDeployment", lambda name: {"service": name, "environment": "staging", "ref": "main"}),
        ("createFreeze", lambda name: {"service": name, "reason": "x", "for": "1h"}),
        ("createToken", lambda name: {"name": "x", "role": "viewer", "service": name}),
        ("createKey", lambda name: {"name": "x", "scopes": [{"role": "viewer", "service": name}]}),
        ("createBinding", lambda name: {"subject": "clerk:user_1", "role": "viewer", "service": name}),
    ],
)
async def test_a_body_that_names_another_service_is_answered_as_for_none(
    api: Api,
    hidden_service: Corner,
    outsider: httpx.AsyncClient,
    operation: str,
    make: Callable[[str], dict[str, Any]],
) -> None:
    path = PREFIX + OPERATIONS[operation].path
    there, nowhere = [await outsider.post(path, json=make(name)) for name in ("secret", "absent")]
    assert seen(there, "secret") == seen(nowhere, "absent")
    assert not there.is_success


async def test_a_pipeline_for_another_service_is_refused_alike(
    api: Api, hidden_service: Corner, outsider: httpx.AsyncClient
) -> None:
    there, nowhere = [
        await outsider.post("/v1/pipelines", json={"text": api.pipeline(name)})
        for name in ("secret", "absent")
    ]
    assert seen(there, "secret") == seen(nowhere, "absent")
    assert there.status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/deployments?service={service}",
        "/deployments?filter=service={service}",
        "/deployments?filter=id={id}",
        "/deployments?filter=version=hidden-1",
        "/deployments/figures?environment=staging&rows=true&service={service}",
        "/lanes?service={service}",
        "/events?filter=service={service}",
        "/events?filter=object={id}",
        "/events?filter=hidden-1",
        "/security/access/bindings?role=viewer",
    ],
)
async def test_lists_counts_and_filters_find_what_they_find_without_it(
    api: Api, hidden_service: Corner, outsider: httpx.AsyncClient, path: str
) -> None:
    hidden = hidden_service.ids["/deployments/"]
    there = await outsider.get(PREFIX + path.format(service="secret", id=hidden))
    nowhere = await outsider.get(PREFIX + path.format(service="absent", id=ABSENT))
    assert seen(without_moments(there), hidden, "secret") == seen(without_moments(nowhere), ABSENT, "absent")


def without_moments(answer: httpx.Response) -> httpx.Response:
    """The same answer; what says when it was asked for is left out."""
    body = re.sub(r'"(since|until)":"[^"]*"', "", answer.text)
    headers = {name: value for name, value in answer.headers.items() if name not in CHANGING}
    return httpx.Response(answer.status_code, headers=headers, text=body)


@pytest.mark.parametrize("path", ["/tokens", "/security/access/keys", "/freezes", "/lanes", "/pipelines"])
async def test_lists_hold_nothing_of_it(
    api: Api, hidden_service: Corner, outsider: httpx.AsyncClient, path: str
) -> None:
    listed = await outsider.get(PREFIX + path)
    assert listed.status_code == 200
    assert "secret" not in listed.text
    assert not any(id_ in listed.text for id_ in hidden_service.ids.values())


async def test_a_version_that_another_environment_calls_so_is_not_known(
    api: Api, hidden_environment: Corner, stager: httpx.AsyncClient
) -> None:
    path = f"{PREFIX}/lanes/shop/staging/blocks"
    there, nowhere = [
        await stager.post(path, json={"version": version, "reason": "x"})
        for version in ("hidden-1", "absent-1")
    ]
    assert seen(there, "hidden-1") == seen(nowhere, "absent-1")
    assert there.status_code == 400


async def test_a_rollback_to_another_environment_s_deployment_is_one_to_none(
    api: Api, hidden_environment: Corner, stager: httpx.AsyncClient
) -> None:
    hidden = hidden_environment.ids["/deployments/"]
    for path in ("rollback", "rollback/preview"):
        there, nowhere = [
            await stager.post(f"{PREFIX}/lanes/shop/staging/{path}", json={"target": target})
            for target in (hidden, ABSENT)
        ]
        assert seen(there, hidden) == seen(nowhere, ABSENT)


async def test_a_lane_that_one_may_not_see_answers_the_same_whatever_happens_there(
    api: Api, stager: httpx.AsyncClient
) -> None:
    await api.core.pipelines.register(SYSTEM, api.pipeline("shop"))
    occasions = Occasions(api)

    async def look() -> list[Any]:
        return [
            (each.id, seen(await send(stager, occasions, each, service="shop", environment="production")))
            for each in with_lane()
            if "{environment}" in each.path
        ]

    before = await look()
    await furnish(api, "shop", "production")
    assert await look() == before
    assert all(answer[0] in (403, 404) for _, answer in before)


async def test_an_idempotency_key_tells_nothing_of_another_s_use_of_it(
    api: Api, hidden_service: Corner, outsider: httpx.AsyncClient
) -> None:
    headers = {"idempotency-key": "the-key"}
    body = {"subject": "clerk:user_1", "role": "viewer", "service": "secret"}
    async with api.caller("admin") as admin:
        assert (
            await admin.post("/v1/security/access/bindings", json=body, headers=headers)
        ).status_code == 201
    there = await outsider.post("/v1/security/access/bindings", json=body, headers=headers)
    other = await outsider.post("/v1/security/access/bindings", json=body)
    assert seen(there) == seen(other)


async def test_the_events_of_a_caller_do_not_say_that_there_was_something(
    api: Api, hidden_service: Corner, outsider: httpx.AsyncClient
) -> None:
    """A denied try is recorded, and whoever tried sees what they did themselves: but not this."""
    for id_ in (hidden_service.ids["/deployments/"], ABSENT):
        assert (await outsider.get(f"{PREFIX}/deployments/{id_}")).status_code == 404
    async with api.caller("admin") as admin:

        async def recorded() -> bool:
            found = await admin.get(f"{PREFIX}/events", params={"filter": "type=access.denied"})
            return "secret" in found.text

        await eventually(recorded)
    events = (await outsider.get(f"{PREFIX}/events", params={"limit": 1000})).json()["items"]
    assert "secret" not in json.dumps(events)
    assert [event["type"] for event in events if event["type"] == "access.denied"] == []


async def test_it_takes_no_longer_to_find_nothing_than_to_hide_something(
    api: Api, hidden_service: Corner, outsider: httpx.AsyncClient
) -> None:
    hidden = hidden_service.ids["/deployments/"]
    took: dict[str, list[float]] = {hidden: [], ABSENT: []}
    for id_ in (hidden, ABSENT) * 40:
        began = time.perf_counter()
        await outsider.get(f"{PREFIX}/deployments/{id_}")
        took[id_].append(time.perf_counter() - began)
    there, nowhere = (statistics.median(times) for times in took.values())
    assert 1 / 3 < there / nowhere < 3
