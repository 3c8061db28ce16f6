"""Pipelines as callers see them: registered in revisions, and judged."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.core.deployments.world import ADMIN, OPERATOR, World, step

from dg.core.errors import Forbidden, Invalid, NotFound, Unavailable
from dg.core.idempotency import Once
from dg.core.testing import person

BUILD = step("image", "build", "make image")
ROLLOUT = step("rollout", "deploy", "make rollout")


async def test_each_new_text_is_a_revision_and_the_same_text_is_none(quiet: World) -> None:
    first = await quiet.core.pipelines.get(ADMIN, "web")
    assert await quiet.core.pipelines.register(ADMIN, first.text) == first
    second = await quiet.core.pipelines.register(ADMIN, quiet.pipeline(ROLLOUT))
    back = await quiet.core.pipelines.register(ADMIN, first.text)
    assert [found.revision for found in (first, second, back)] == [1, 2, 3]
    assert back.sha256 == first.sha256
    assert [entry.payload["revision"] for entry in await quiet.entries("pipeline.registered")] == [1, 2, 3]


async def test_the_history_comes_newest_first_in_pages(quiet: World) -> None:
    for number in range(2, 6):
        await quiet.core.pipelines.register(ADMIN, quiet.pipeline(tail=f"# {number}"))
    page = await quiet.core.pipelines.history(ADMIN, "web", limit=3)
    assert [found.revision for found in page.items] == [5, 4, 3]
    rest = await quiet.core.pipelines.history(ADMIN, "web", limit=3, cursor=page.next_cursor)
    assert ([found.revision for found in rest.items], rest.next_cursor) == ([2, 1], None)


async def test_every_mistake_is_listed_at_once_and_nothing_is_kept(quiet: World) -> None:
    text = quiet.pipeline('[[step]]\nname = "Bad Name"\nphase = "later"\n', service="api")
    for call in (quiet.core.pipelines.register(ADMIN, text), quiet.core.pipelines.lint(ADMIN, text)):
        with pytest.raises(Invalid) as caught:
            await call
        errors = caught.value.details["errors"]
        assert isinstance(errors, list)
        assert len(errors) >= 2
    assert [found.service for found in await quiet.core.pipelines.list(ADMIN)] == ["web"]


async def test_a_repository_that_does_not_answer_is_said_at_once(quiet: World, tmp_path: Path) -> None:
    text = quiet.pipeline(service="api", git=str(tmp_path / "nowhere"))
    with pytest.raises(Unavailable, match="git failed for the repository of `api`"):
        await quiet.core.pipelines.register(ADMIN, text)


async def test_a_protected_branch_that_is_not_there_is_said_at_once(quiet: World) -> None:
    with pytest.raises(Invalid, match="has no branch, tag or commit `trunk`"):
        await quiet.register(service="api", source='ref = "trunk"')


async def test_only_an_administrator_of_all_environments_registers(quiet: World) -> None:
    for who in (OPERATOR, person("admin", environment="staging"), person("admin", service="api")):
        with pytest.raises(Forbidden, match=r"pipeline:write .*needs the role admin;"):
            await quiet.core.pipelines.register(who, quiet.pipeline(ROLLOUT))
    api = person("admin", service="api")
    assert (await quiet.core.pipelines.register(api, quiet.pipeline(service="api"))).revision == 1


async def test_a_repeated_registration_gets_its_first_answer(quiet: World) -> None:
    key = Once("k", "e" * 64)
    first = await quiet.core.pipelines.register(ADMIN, quiet.pipeline(ROLLOUT), key)
    await quiet.core.pipelines.register(ADMIN, quiet.pipeline(BUILD, ROLLOUT))
    assert await quiet.core.pipelines.register(ADMIN, quiet.pipeline(ROLLOUT), key) == first


async def test_a_pipeline_that_nobody_registered_is_not_found(quiet: World) -> None:
    for call in (
        quiet.core.pipelines.get(ADMIN, "shop"),
        quiet.core.pipelines.history(ADMIN, "shop"),
    ):
        with pytest.raises(NotFound, match="there is no service shop; register its pipeline first"):
            await call
