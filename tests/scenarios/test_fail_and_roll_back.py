"""One story on all surfaces: a bad version is deployed, fails, is rolled back, and all tell the same."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.scenarios import truth
from tests.scenarios.house import House, journalled, step
from websockets.asyncio.client import connect

from dg.cli.errors import ExitCode
from dg.client.app import Client
from dg.client.models import Event
from dg.client.wire import encode
from dg.core.deployments.models import CreateDeployment, Deployment, Kind, LaneState, Status
from dg.core.errors import Refused
from dg.core.types import Environment

PRODUCTION = Environment.PRODUCTION
VERIFY = step("smoke", "verify", 'shell = "cat health; grep -q well health"')


@pytest.fixture
def served(house: House) -> House:
    """A server whose pipeline believes what the version says of its own health."""
    house.start()
    return house


class Ears:
    """What the feed and the WebSocket tell from the beginning on, until something was rolled back."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.events: list[Event] = []
        self.moves: list[tuple[str, str]] = []

    async def feed(self, dg: Client) -> None:
        async for event in dg.events.follow(after=0):
            self.events.append(event)
            if event.type == "deployment.rolled_back":
                return

    async def socket(self) -> None:
        url = self._house.url.replace("http", "ws", 1) + "/ws/deployments"
        async with connect(url, compression=None) as ws:
            await ws.send(json.dumps({"type": "auth", "token": self._house.token, "after": 0}))
            async for text in ws:
                message = json.loads(text)
                if message["type"] == "deployment_status_update":
                    payload = message["payload"]
                    self.moves.append((payload["deployment_id"], payload["status"]))
                    if payload["status"] == "rolled_back":
                        return

    def told(self, deployment_id: str) -> list[str]:
        return [event.type for event in self.events if event.object == deployment_id]

    def statuses(self, deployment_id: str) -> list[str]:
        return [status for who, status in self.moves if who == deployment_id]


async def test_bad_version_fails_and_is_rolled_back_and_every_surface_tells_the_same(served: House) -> None:
    house, ears = served, Ears(served)
    async with house.client() as dg:
        await dg.pipelines.register(house.pipeline(journalled("switch", "deploy") + VERIFY, lock='"30m"'))
        listening = [asyncio.create_task(ears.feed(dg)), asyncio.create_task(ears.socket())]
        good = await _deploy_by_api(house, dg, house.repository.commit("good", health="well"))
        bad = await _deploy_by_cli(house, dg, house.repository.commit("bad", health="ill"))
        async with asyncio.timeout(30):
            await asyncio.gather(*listening)

        rollback = await _rollback_of(dg, bad)
        house.deployments.add(rollback.id)
        assert rollback.target == good.id
        assert (await dg.deployments.get(bad.id)).rolled_back_by == rollback.id
        assert ears.statuses(good.id) == ["pending", "deploying", "success"]
        assert ears.statuses(bad.id) == ["pending", "deploying", "failed", "rolled_back"]
        assert ears.statuses(rollback.id) == ["pending", "deploying", "success"]
        assert ears.told(rollback.id)[0] == "deployment.created"
        assert ears.told(rollback.id)[-1] == "deployment.finished"
        assert {"lane.locked", "version.blocked"} <= {event.type for event in ears.events}

        await _lane_is_told_alike(house, dg, good, bad)
        await _cli_tells_what_the_api_tells(house, dg, bad)
        await truth.books_are_in_order(house, dg)


async def _deploy_by_api(house: House, dg: Client, commit: str) -> Deployment:
    deployment = await house.deploy(dg, CreateDeployment(environment=PRODUCTION, ref=commit, version="v1"))
    ended = await truth.end_of(dg, deployment.id)
    assert ended.status is Status.SUCCESS
    return ended


async def _deploy_by_cli(house: House, dg: Client, commit: str) -> Deployment:
    """As a pipeline of another tool does; it learns by the exit code."""
    command = ("deploy", "web", commit, "--env", "production", "--version", "v2", "--wait")
    done = await asyncio.to_thread(house.dg, *command)
    assert done.returncode == ExitCode.FAILED, done.stderr
    assert b"smoke" in done.stdout
    page = await dg.deployments.list(matching="version=v2")
    deployment = next(item for item in page.items if item.kind is Kind.DEPLOY)
    house.deployments.add(deployment.id)
    return deployment


async def _rollback_of(dg: Client, bad: Deployment) -> Deployment:
    found = [item for item in (await dg.deployments.list()).items if item.rollback_of == bad.id]
    assert len(found) == 1
    rollback = await truth.end_of(dg, found[0].id)
    assert rollback.status is Status.SUCCESS
    return rollback


async def _lane_is_told_alike(house: House, dg: Client, good: Deployment, bad: Deployment) -> None:
    """Closed with one sentence: the lane's own, the API's refusal and the command line's."""
    lane = await dg.lanes.get("web", PRODUCTION)
    assert lane.state is LaneState.LOCKED
    assert lane.current_sha == good.commit_sha
    assert "v2 was rolled back to v1" in lane.sentence
    other = house.repository.commit("another one", health="well")
    with pytest.raises(Refused) as refused:
        await dg.deployments.create(CreateDeployment(environment=PRODUCTION, ref=other))
    assert refused.value.message == lane.sentence
    by_cli = await asyncio.to_thread(house.dg, "deploy", "web", other, "--env", "production")
    assert by_cli.returncode == ExitCode.REFUSED
    assert lane.sentence in by_cli.stderr.decode()

    unlocked = await asyncio.to_thread(house.dg, "lane", "unlock", "web", "production")
    assert unlocked.returncode == ExitCode.OK, unlocked.stderr
    with pytest.raises(Refused, match="v2 is blocked here") as blocked:
        await dg.deployments.create(CreateDeployment(environment=PRODUCTION, ref=bad.commit_sha))
    assert blocked.value.reason == "version_blocked"


async def _cli_tells_what_the_api_tells(house: House, dg: Client, bad: Deployment) -> None:
    assert await _json(house, "show", bad.id) == encode(await dg.deployments.get(bad.id))
    logs = await asyncio.to_thread(house.dg, "logs", bad.id)
    lines = [line.text async for page in dg.deployments.all_logs(bad.id) for line in page.items]
    assert all(line in logs.stdout.decode() for line in lines)
    assert "ill" in lines
    verified = await asyncio.to_thread(house.dg, "audit", "verify")
    assert verified.returncode == ExitCode.OK, verified.stderr


async def _json(house: House, *arguments: str) -> Any:
    done = await asyncio.to_thread(house.dg, "--json", *arguments)
    assert done.returncode == ExitCode.OK, done.stderr
    return json.loads(done.stdout)
