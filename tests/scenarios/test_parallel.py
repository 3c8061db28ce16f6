"""Many at once, through the real server: a lane's deployments never overlap, and one key has one effect."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
import pytest
from tests.observed import Observed
from tests.scenarios import truth
from tests.scenarios.faults import Call, needs_strace, suffering
from tests.scenarios.house import House, journalled

from dg.client.app import Client
from dg.core.deployments.models import CreateDeployment, Status
from dg.core.types import Environment

AT_ONCE = 100


@pytest.fixture(scope="module")
def served(house: House) -> House:
    """A server with a pipeline of one short step."""
    house.start()
    asyncio.run(_register(house))
    return house


async def _register(house: House) -> None:
    async with house.client() as dg:
        await dg.pipelines.register(house.pipeline(journalled("switch", "deploy", 0.01)))


@pytest.mark.parametrize("count", [6, pytest.param(50, marks=pytest.mark.long)])
async def test_parallel_deployments_of_a_lane_never_overlap_and_keep_their_order(
    served: House, observed: Observed, count: int
) -> None:
    """R06: asked for at once, they run one after another."""
    environment = Environment.DEVELOPMENT
    commits = [served.repository.commit(f"{number} of {count}") for number in range(count)]
    async with served.client() as dg:
        wishes = [CreateDeployment(environment=environment, ref=commit) for commit in commits]
        asked = await asyncio.gather(*(dg.deployments.create(wish) for wish in wishes))
        served.deployments |= {each.id for each in asked}
        for deployment in asked:
            ended = await truth.end_of(dg, deployment.id)
            assert ended.status is Status.SUCCESS
        await truth.books_are_in_order(served, dg)
        order = await _by_start(dg, {each.id for each in asked})
    queue = [each.id for each in sorted(asked, key=lambda each: (each.queued_at, each.number))]
    assert order == queue
    beats = [beat for beat in truth.journal(served.journal) if beat.deployment in set(queue)]
    beside = sum(beat.kind == "O" for beat in beats)
    observed("R06", "parallel requests for one lane", "steps beside another", beside, at_most=0)
    assert [(beat.kind, beat.deployment) for beat in beats] == [
        (kind, each) for each in queue for kind in "SE"
    ]


async def _by_start(dg: Client, wanted: set[str]) -> list[str]:
    started = [event.object async for event in dg.events.all(matching="type=deployment.started")]
    return [each for each in started if each in wanted]


class Caller:
    """Sends the same request as often as it is told, without the client's own retries."""

    def __init__(self, house: House, commit: str, environment: Environment) -> None:
        self._house = house
        self._body = {"environment": environment.value, "ref": commit}
        self._headers = {"Authorization": f"Bearer {house.token}", "Idempotency-Key": uuid.uuid4().hex}

    async def send(self, count: int) -> list[httpx.Response | httpx.TransportError]:
        """All at once; a connection that broke is an answer too."""
        limits = httpx.Limits(max_connections=count)
        async with httpx.AsyncClient(base_url=self._house.url, limits=limits, timeout=60.0) as http:
            asked = (
                http.post("/v1/deployments", json=self._body, headers=self._headers) for _ in range(count)
            )
            answers = await asyncio.gather(*asked, return_exceptions=True)
        for answer in answers:
            if not isinstance(answer, httpx.Response | httpx.TransportError):
                raise answer
        return [answer for answer in answers if isinstance(answer, httpx.Response | httpx.TransportError)]


def bodies(answers: list[httpx.Response | httpx.TransportError]) -> list[dict[str, Any]]:
    """Of those that were accepted; every other one is told that the first is still in flight."""
    accepted = []
    for answer in answers:
        if not isinstance(answer, httpx.Response):
            continue
        if answer.status_code == 201:
            accepted.append(answer.json())
        else:
            assert answer.status_code == 409, answer.text
            assert answer.json()["error"]["details"]["reason"] == "in_flight"
    return accepted


async def rows(house: House, commit: str) -> list[str]:
    """Ids of the deployments of a commit, which is one request's alone."""
    async with house.client() as dg:
        return [item.id for item in (await dg.deployments.list()).items if item.commit_sha == commit]


async def test_parallel_requests_with_one_key_have_one_effect(served: House, observed: Observed) -> None:
    """R05: one is answered, the others hear the same or that it is in flight."""
    commit = served.repository.commit("once")
    caller = Caller(served, commit, Environment.STAGING)
    accepted = bodies(await caller.send(AT_ONCE))
    assert accepted
    again = bodies(await caller.send(1))
    assert all(body == accepted[0] for body in (*accepted, *again))
    found = await rows(served, commit)
    observed("R05", f"{AT_ONCE} requests at once with one key", "effects", len(found), at_most=1)
    assert found == [accepted[0]["id"]]
    async with served.client() as dg:
        await truth.end_of(dg, accepted[0]["id"])


@needs_strace
@pytest.mark.parametrize(
    "call",
    [
        Call("fdatasync", 1),
        pytest.param(Call("pwrite64", 3), marks=pytest.mark.long),
        pytest.param(Call("fdatasync", 2), marks=pytest.mark.long),
        pytest.param(Call("write", 12), marks=pytest.mark.long),
    ],
    ids=str,
)
async def test_one_key_has_one_effect_though_the_server_dies_in_between(
    served: House, observed: Observed, call: Call
) -> None:
    """R05: the key is in the same transaction as its effect."""
    commit = served.repository.commit(f"once, and the server dies at {call}")
    caller = Caller(served, commit, Environment.PRODUCTION)
    with suffering(call, served.pid):
        before = bodies(await caller.send(AT_ONCE))
        assert await asyncio.to_thread(served.dies, 20.0)
    await asyncio.to_thread(served.start)
    after = bodies(await caller.send(AT_ONCE))
    after += bodies(await caller.send(1))
    assert all(body == after[0] for body in (*before, *after))
    found = await rows(served, commit)
    observed("R05", f"{AT_ONCE} requests with one key, and kill -9", "effects", len(found), at_most=1)
    assert found == [after[0]["id"]]
    async with served.client() as dg:
        await truth.end_of(dg, after[0]["id"])
        await truth.books_are_in_order(served, dg)
