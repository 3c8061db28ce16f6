"""Notices of repositories' hosts: who is believed, what is deployed for, and that nothing happens twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.core.deployments.notices.signing import SECRET, Sent, generic, github, github_push
from tests.core.deployments.world import ADMIN, World, open_world

from dg.core import schema
from dg.core.access.models import Origin
from dg.core.database import Statement
from dg.core.deployments.models import Deployment
from dg.core.deployments.service.notices import Accepted
from dg.core.errors import Invalid, Unauthenticated, Unavailable
from dg.core.events import NoticeHandled, NoticeReceived
from dg.core.ledger import Entry
from dg.core.testing import eventually

NOWHERE = Origin()
STAGING = """
[[on]]
event = "push"
ref = "main"
environment = "staging"
"""
RELEASES = """
[[on]]
event = "tag"
ref = "v*"
environment = "development"
"""


@asynccontextmanager
async def listening(
    path: Path, rules: str = STAGING, *, source: Mapping[str, Any] | None = None, **options: Any
) -> AsyncIterator[World]:
    """A world whose service `web` has these rules, and two sources that sign with the secret."""
    (path / "hook.secret").write_text(f"{SECRET}\n")
    (path / "hook.secret").chmod(0o600)
    signs = {"secret_file": str(path / "hook.secret")}
    sources = {
        "forge": {"kind": "generic", **signs, **(source or {})},
        "github": {"kind": "github", "secret_env": "HOOK_SECRET"},
    }
    environ = {"HOOK_SECRET": SECRET}
    async with open_world(path, incoming={"sources": sources}, environ=environ, **options) as world:
        await world.register(tail=rules)
        yield world
        await world.stop()


def push(world: World, commit: str | None = None, ref: str = "main", **more: Any) -> dict[str, Any]:
    head = world.repository.head(ref)
    return {
        "event": "push",
        "repository": str(world.repository.path),
        "ref": ref,
        "commit": commit or head,
        **more,
    }


async def sent(world: World, value: object, *, delivery: str = "", source: str = "forge") -> Accepted:
    at = world.parts.clock.micros() // 1_000_000
    return await taken(world, generic(value, at, delivery=delivery), source)


async def taken(world: World, notice: Sent, source: str) -> Accepted:
    notices = world.core.notices
    proof = await notices.prove(source, notice.headers, notice.body, NOWHERE)
    return await notices.accept(proof, notice.headers, json.loads(notice.body), NOWHERE)


async def handled(world: World, count: int = 1) -> Entry:
    """What came of the last of so many notices."""
    found: list[Entry] = []

    async def enough() -> bool:
        found[:] = await world.entries(NoticeHandled.type)
        return len(found) >= count

    await eventually(enough)
    assert len(found) == count
    return found[-1]


async def all_of(world: World) -> tuple[Deployment, ...]:
    return (await world.core.deployments.list(ADMIN, limit=200)).items


# --- who is not believed


@pytest.mark.parametrize("source", ["forge", "github", "elsewhere", "", "../forge", "\x1b[31m"])
async def test_an_unknown_source_and_a_wrong_signature_get_the_same_words(
    tmp_path: Path, source: str
) -> None:
    async with listening(tmp_path, passive=True) as world:
        at = world.parts.clock.micros() // 1_000_000
        for notice in (
            generic(push(world), at, secret="somebody else's secret of that length"),
            github(github_push("0" * 40), secret="somebody else's secret of that length"),
            Sent({}, b"{}"),
        ):
            with pytest.raises(Unauthenticated) as caught:
                await taken(world, notice, source)
            assert caught.value.message == (
                "this webhook is not known here, or its signature is missing or wrong"
            )
        await eventually(lambda: world.entries("authentication.failed"))
        assert await world.entries(NoticeReceived.type) == []


async def test_a_secret_that_others_may_read_lets_nobody_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(tmp_path, passive=True) as world:
        (tmp_path / "hook.secret").chmod(0o644)
        with pytest.raises(Unauthenticated, match="not known here"):
            await sent(world, push(world))
        assert "is open to others" in caplog.text
        assert SECRET not in caplog.text


# --- what is deployed for


async def test_a_push_is_deployed_where_the_pipeline_says_so(tmp_path: Path) -> None:
    async with listening(tmp_path) as world:
        accepted = await sent(world, push(world), delivery="one")
        fact = await handled(world)
        (deployment,) = await all_of(world)
        assert (deployment.environment, deployment.service) == ("staging", "web")
        assert deployment.commit_sha == world.repository.head("main")
        assert deployment.created_by == "webhook:forge"
        assert deployment.note == "push main, reported by forge"
        assert fact.payload["deployments"] == [deployment.id]
        assert fact.payload["refusals"] == []
        assert (fact.object, fact.actor, fact.auth) == (accepted.id, "webhook:forge", "webhook")
        assert (await world.core.access.names(["webhook:forge"])) == {"webhook:forge": "webhook forge"}
        (received,) = await world.entries(NoticeReceived.type)
        assert (received.payload["what"], received.payload["ref"]) == ("push", "main")


async def test_only_the_events_and_names_of_the_rules_are_deployed_for(tmp_path: Path) -> None:
    async with listening(tmp_path, STAGING + RELEASES, passive=True) as world:
        for value in (
            push(world, ref="side"),
            push(world, event="tag", ref="v1"),
            push(world, event="release", ref="v1"),
            push(world, event="push", ref="v1"),
        ):
            await sent(world, value)
        await handled(world, 4)
        (deployment,) = await all_of(world)
        assert (deployment.environment, deployment.version) == ("development", "v1")


async def test_a_report_of_another_repository_deploys_nothing(tmp_path: Path) -> None:
    async with listening(tmp_path, passive=True) as world:
        await sent(world, {**push(world), "repository": "https://github.com/evil/web.git"})
        assert (await handled(world)).payload["deployments"] == []
        assert await all_of(world) == ()


async def test_a_commit_that_the_branch_has_left_is_not_deployed(tmp_path: Path) -> None:
    async with listening(tmp_path, passive=True) as world:
        old = world.repository.head("main")
        world.repository.commit("Newer", release="4\n")
        await sent(world, push(world, old))
        (refusal,) = (await handled(world)).payload["refusals"]
        assert "web/staging" in refusal
        assert "now, not the commit" in refusal
        assert await all_of(world) == ()


async def test_gates_and_protection_apply_to_webhooks_too(tmp_path: Path) -> None:
    rules = '\n[[on]]\nevent = "push"\nref = "*"\nenvironment = "production"\n'
    guard = '\n[env.production]\napprovals = { count = 1, from = ["role:approver"] }\n'
    async with listening(tmp_path, rules + guard, passive=True) as world:
        await sent(world, push(world, ref="side"))
        (refusal,) = (await handled(world)).payload["refusals"]
        assert "is not on `main`" in refusal
        await sent(world, push(world))
        (made,) = (await handled(world, 2)).payload["deployments"]
        waits = await world.core.deployments.get(ADMIN, made)
        assert [gate.name for gate in waits.gates or () if not gate.open] == ["approvals"]


@pytest.mark.parametrize(
    "source", [{"services": ["api"]}, {"environments": ["development"]}, {"environments": ["production"]}]
)
async def test_a_source_asks_only_where_the_settings_let_it(tmp_path: Path, source: dict[str, Any]) -> None:
    async with listening(tmp_path, source=source, passive=True) as world:
        await sent(world, push(world))
        await handled(world)
        assert await all_of(world) == ()


async def test_what_github_sends_is_understood(tmp_path: Path) -> None:
    async with listening(tmp_path, passive=True) as world:
        url = "https://github.com/shop/web.git"
        assert await taken(world, github({"zen": "Keep it."}, "ping"), "github") == Accepted()
        value = github_push(world.repository.head("main"), url=url)
        assert (await taken(world, github(value), "github")).id is not None
        # The service's repository is another one.
        assert (await handled(world)).payload["deployments"] == []


async def test_a_signed_body_that_is_no_report_is_refused_by_field(tmp_path: Path) -> None:
    async with listening(tmp_path, passive=True) as world:
        with pytest.raises(Invalid, match="event"):
            await sent(world, {"event": "merge"})


# --- once


async def test_a_repetition_has_no_second_effect(tmp_path: Path, either_url: str | None) -> None:
    async with listening(tmp_path, passive=True, url=either_url) as world:
        at = world.parts.clock.micros() // 1_000_000
        first = generic(push(world), at, delivery="one")
        accepted = [await taken(world, first, "forge") for _ in range(3)]
        # Another id with the same signature, as somebody sends it who only listened.
        accepted.append(await taken(world, generic(push(world), at, delivery="two"), "forge"))
        # The same id again, signed anew, as a sender repeats what it got no answer to.
        accepted.append(await taken(world, generic(push(world), at + 1, delivery="one"), "forge"))
        assert [each.repeated for each in accepted] == [False, True, True, True, True]
        assert len({each.id for each in accepted}) == 1
        await handled(world)
        assert len(await all_of(world)) == 1


async def test_many_at_once_have_one_effect(tmp_path: Path, either_url: str | None) -> None:
    async with listening(tmp_path, passive=True, url=either_url) as world:
        notice = generic(push(world), world.parts.clock.micros() // 1_000_000)
        accepted = await asyncio.gather(*(taken(world, notice, "forge") for _ in range(8)))
        assert sorted(each.repeated for each in accepted) == [False] + [True] * 7
        await handled(world)
        assert len(await all_of(world)) == 1


async def test_what_was_taken_in_is_handled_after_a_crash_once(
    tmp_path: Path, either_url: str | None
) -> None:
    """It fell between the deployment and the note that it was asked for."""
    async with listening(tmp_path, passive=True, url=either_url) as world:
        await sent(world, push(world))
        await handled(world)
        (before,) = await all_of(world)
        forget = Statement(schema.notices.update().values(handled_at=sa.null()))
        await world.db.write(lambda tx: tx.run(forget))
    async with listening(tmp_path, url=either_url) as world:
        fact = await handled(world, 2)
        assert fact.payload["deployments"] == [before.id]
        assert [each.id for each in await all_of(world)] == [before.id]


async def test_a_notice_waits_for_a_repository_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(tmp_path, passive=True) as world:
        resolve, asked = type(world.parts.git).resolve, asyncio.Event()

        async def down(*_: object) -> None:
            asked.set()
            raise Unavailable("the repository does not answer")

        monkeypatch.setattr(type(world.parts.git), "resolve", down)
        await sent(world, push(world))
        async with asyncio.timeout(10):
            await asked.wait()
        await world.core.notices.handle()
        assert await world.entries(NoticeHandled.type) == []
        monkeypatch.setattr(type(world.parts.git), "resolve", resolve)
        await world.core.notices.handle()
        assert len((await handled(world)).payload["deployments"]) == 1


async def test_one_service_s_trouble_is_no_other_s(tmp_path: Path) -> None:
    async with listening(tmp_path, passive=True) as world:
        await world.register(service="api", source='pipeline = "repo"')
        await sent(world, push(world))
        fact = await handled(world)
        assert len(fact.payload["deployments"]) == 1
        (refusal,) = fact.payload["refusals"]
        assert refusal.startswith("api: ")
