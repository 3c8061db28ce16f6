"""The SDK against a real server: every group of calls, and a stream through a restart."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.client.servers import PIPELINE, Server, make_repository, serving

from dg.client.app import Client
from dg.client.auth import find
from dg.client.sync import Blocking
from dg.core.access.models import Role, Scope
from dg.core.deployments.models import (
    CreateDeployment,
    Deployment,
    LaneState,
    RequestRollback,
    Status,
    UpdateDeployment,
)
from dg.core.deployments.previews import PreviewVerdict, RollbackVerdict
from dg.core.errors import Forbidden, Invalid, Mismatch, NotFound, Refused, Unauthenticated
from dg.core.types import Environment

STAGING = Environment.STAGING
FAR = 4_102_444_800_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    folder = tmp_path_factory.mktemp("server")
    repository = make_repository(folder / "web")
    with serving(folder / "home") as server:
        with Blocking(opened(folder / "home")) as dg:
            dg.run(dg.client.pipelines.register(PIPELINE.format(repository=repository)))
        yield server, folder / "home"


def opened(home: Path) -> Client:
    found = find({}, home)
    return Client(found.url, found.token)


@pytest.fixture
async def client(server: tuple[Server, Path]) -> AsyncIterator[Client]:
    async with opened(server[1]) as client:
        yield client


async def deployed(client: Client, ref: str, environment: Environment = STAGING) -> Deployment:
    """A deployment that has ended."""
    made = await client.deployments.create(CreateDeployment(environment=environment, service="web", ref=ref))
    last = [progress async for progress in client.deployments.watch(made.id, every=0.02)][-1]
    return last.deployment


async def test_the_owner_of_the_machine_is_an_administrator(client: Client) -> None:
    owner = await client.whoami()
    assert owner.method == "local"
    assert [grant.role for grant in owner.grants] == [Role.ADMIN]


async def test_a_deployment_from_request_to_log(client: Client) -> None:
    ended = await deployed(client, "good")
    assert ended.status is Status.SUCCESS
    assert (await client.deployments.get(ended.id)).commit_sha == ended.commit_sha
    assert [step.name for step in await client.deployments.steps(ended.id)] == ["pack", "release", "smoke"]
    pages = [page async for page in client.deployments.follow_logs(ended.id)]
    lines = [line.text for page in pages for line in page.items]
    assert "released" in lines
    raw = b"".join([block async for block in client.deployments.raw_logs(ended.id)])
    assert raw.decode().splitlines() == lines
    assert (await client.deployments.changes(ended.id)).head == ended.commit_sha
    page = await client.deployments.list(matching="status=success", service="web", limit=1)
    assert page.items[0].status is Status.SUCCESS


async def test_a_pending_deployment_may_be_changed_and_cancelled(client: Client) -> None:
    request = CreateDeployment(environment=Environment.PRODUCTION, service="web", ref="good", not_before=FAR)
    made = await client.deployments.create(request)
    changed = await client.deployments.update(made.id, UpdateDeployment(note="later"))
    assert (changed.note, changed.not_before) == ("later", FAR)
    assert (await client.deployments.cancel(made.id, reason="no")).status is Status.FAILED
    with pytest.raises(Refused):
        await client.deployments.update(made.id, UpdateDeployment(note="too late"))


async def test_the_same_key_has_one_effect(client: Client) -> None:
    request = CreateDeployment(environment=Environment.PRODUCTION, service="web", ref="good", not_before=FAR)
    first = await client.deployments.create(request, key="mine-1")
    assert (await client.deployments.create(request, key="mine-1")).id == first.id
    with pytest.raises(Mismatch):
        await client.deployments.create(request.model_copy(update={"note": "other"}), key="mine-1")
    await client.deployments.cancel(first.id)


async def test_lanes_are_locked_frozen_and_opened(client: Client) -> None:
    locked = await client.lanes.lock("web", Environment.DEVELOPMENT, reason="sale", lasting="1h30m")
    assert locked.state is LaneState.LOCKED
    assert locked.lock is not None
    assert round((locked.lock.until - locked.lock.since) / 1_000_000) == 5400
    with pytest.raises(Refused, match="locked"):
        await client.deployments.create(
            CreateDeployment(environment=Environment.DEVELOPMENT, service="web", ref="good")
        )
    await client.lanes.unlock("web", Environment.DEVELOPMENT)
    frozen = await client.lanes.freeze(reason="sale", environment=Environment.DEVELOPMENT, lasting="1h")
    assert [freeze.id for freeze in await client.lanes.freezes()] == [frozen.id]
    assert [freeze.id for freeze in await client.lanes.thaw(frozen.id)] == [frozen.id]
    assert await client.lanes.thaw() == ()
    lanes = await client.lanes.list(environment=Environment.DEVELOPMENT)
    assert [lane.state for lane in lanes] == [LaneState.OPEN]


async def test_a_rollback_that_has_nowhere_to_go_is_refused(client: Client) -> None:
    with pytest.raises(Refused):
        await client.lanes.rollback("web", Environment.PRODUCTION, RequestRollback(reason="try"))
    foreseen = await client.lanes.preview_rollback("web", Environment.PRODUCTION, RequestRollback())
    assert foreseen.verdict is RollbackVerdict.REFUSED
    assert [objection.reason for objection in foreseen.objections] == ["no_target"]


async def test_a_preview_names_the_steps_and_starts_nothing(client: Client) -> None:
    before = (await client.deployments.list(limit=1)).items
    asked = CreateDeployment(environment=Environment.PRODUCTION, service="web", ref="good")
    found = await client.deployments.preview(asked)
    assert [step.name for step in found.steps] == ["pack", "release", "smoke"]
    assert (found.version, found.verdict) == ("good", PreviewVerdict.STARTS)
    assert (await client.deployments.list(limit=1)).items == before


async def test_pipelines_are_kept_read_and_judged(client: Client) -> None:
    kept = await client.pipelines.get("web")
    assert [each.revision for each in (await client.pipelines.history("web")).items] == [1]
    assert [each.service for each in await client.pipelines.list()] == ["web"]
    assert await client.pipelines.lint(kept.text) is not None
    assert (await client.pipelines.source("web")).ref == "main"
    with pytest.raises(Invalid):
        await client.pipelines.register("version = 1")


async def test_a_token_has_its_reach_and_its_end(client: Client) -> None:
    issued = await client.tokens.create(name="watcher", role=Role.VIEWER, environment=STAGING, ttl=60)
    assert issued.token.expires_at - issued.token.created_at <= 61 * 1_000_000
    async with Client(client.url, issued.secret) as watcher:
        assert [lane.environment for lane in await watcher.lanes.list()] == [STAGING]
        with pytest.raises(Forbidden):
            await watcher.tokens.list()
        assert (await client.tokens.revoke(issued.token.id)).revoked_at is not None
        with pytest.raises(Unauthenticated):
            await watcher.lanes.list()
    assert issued.token.id in {token.id for token in await client.tokens.list()}


async def test_a_key_opens_what_its_scopes_say_until_it_is_revoked(client: Client) -> None:
    scope = Scope(role="viewer", environment=STAGING, service="web")
    issued = await client.keys.create(name="ci", scopes=[scope], addresses=["127.0.0.0/8"], ttl=60)
    rotated = await client.keys.rotate(issued.key.id, overlap=30)
    assert [key.scopes for key in await client.keys.list()] == [(scope,)]
    async with Client(client.url, issued.secret) as old, Client(client.url, rotated.secret) as new:
        for holder in (old, new):
            assert (await holder.whoami()).id == issued.key.id
            assert (await holder.lanes.get("web", STAGING)).service == "web"
            with pytest.raises(Forbidden):
                await holder.deployments.create(CreateDeployment(environment=STAGING, service="web"))
        assert (await client.keys.revoke(issued.key.id)).revoked_at is not None
        for holder in (old, new):
            with pytest.raises(Unauthenticated):
                await holder.whoami()


async def test_what_is_not_there_is_said_so(client: Client) -> None:
    with pytest.raises(NotFound):
        await client.deployments.get("01936b2e-7c00-7000-8000-00000000dead")
    with pytest.raises(NotFound):
        await client.pipelines.get("nobody")


async def test_events_are_read_followed_and_proven(client: Client) -> None:
    facts = [fact async for fact in client.events.all()]
    assert [fact.seq for fact in facts] == list(range(1, len(facts) + 1))
    async with aclosing(client.events.follow(after=0)) as stream:
        again = [await anext(stream) for _ in facts]
    assert again == facts
    verdict = await client.events.verify()
    assert verdict.ok
    assert verdict.head_seq >= len(facts)


@pytest.mark.long
async def test_a_stream_misses_nothing_when_the_server_is_killed_and_comes_back(tmp_path: Path) -> None:
    home = tmp_path / "home"
    seen: list[int] = []
    with serving(home) as first:
        port = int(first.url.rpartition(":")[2])
        async with opened(home) as client, aclosing(client.events.follow(after=0)) as stream:
            seen.append((await anext(stream)).seq)
            token = await client.tokens.create(name="mine", role=Role.VIEWER)
            seen.append((await anext(stream)).seq)
            first.stop(signal.SIGKILL)
            with serving(home, port):
                async with opened(home) as other:
                    await other.tokens.revoke(token.token.id)
                while len(seen) < 4:
                    fact = await anext(stream)
                    seen.append(fact.seq)
    assert seen == [1, 2, 3, 4]
