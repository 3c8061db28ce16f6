"""How secrets are used: whose steps name one, who got it last, how old it is, and who hears of that."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.core.environments.test_environments import CANARY, PRODUCTION, STAGING, Estate, open_estate

from dg.core.access.models import SYSTEM, Action, Grant
from dg.core.database import prepare
from dg.core.deployments import pipeline
from dg.core.deployments.models import RegisteredPipeline
from dg.core.deployments.store import insert_pipeline
from dg.core.environments.models import SecretUse
from dg.core.errors import Forbidden
from dg.core.migrations.upgrade import migrate
from dg.core.testing import ManualClock

DAY = 86400
READS = frozenset({Action.ENVIRONMENT_READ})
TOML = """
version = 1
service = "{service}"
[source]
git = "https://git.example.com/{service}"
[[step]]
name = "release"
phase = "deploy"
run = ["true"]
secrets = {secrets}
"""


@pytest.fixture
async def estate(tmp_path: Path, either_url: str | None) -> AsyncIterator[Estate]:
    # Without jobs of its own, which would run through each of these days.
    async with open_estate(tmp_path / "home", either_url, passive=True) as found:
        yield found


def clock(estate: Estate) -> ManualClock:
    assert isinstance(estate.core.clock, ManualClock)
    return estate.core.clock


async def register(estate: Estate, service: str, *secrets: str) -> None:
    text = TOML.format(service=service, secrets=json.dumps(secrets))
    registered = RegisteredPipeline(
        service=service,
        revision=1,
        sha256=pipeline.sha256(text),
        text=text,
        registered_at=1,
        registered_by="ana",
    )
    await estate.db.write(lambda tx: insert_pipeline(tx, registered))


async def uses(estate: Estate, role: str = "viewer", **narrowed: str) -> dict[str, SecretUse]:
    principal = await estate.who(role, **narrowed)
    return {each.name: each for each in await estate.core.secrets.list(principal, STAGING)}


async def test_a_secret_says_whose_steps_name_it_and_who_got_it_last(estate: Estate) -> None:
    for name in ("session_key", "kube_token", "forgotten"):
        await estate.environments.set_secret(SYSTEM, STAGING, name, f"{CANARY}-{name}")
    await register(estate, "web", "session_key", "kube_token")
    await register(estate, "api", "session_key")
    assert await estate.kept.get("web", PRODUCTION, ["session_key"]) == {}
    await clock(estate).advance(60.0)
    await estate.kept.get("web", STAGING, ["session_key", "absent"])
    await clock(estate).advance(60.0)
    await estate.kept.get("api", STAGING, ["session_key"])
    at = clock(estate).micros()
    found = await uses(estate)
    assert {name: each.services for name, each in found.items()} == {
        "forgotten": (),
        "kube_token": ("web",),
        "session_key": ("api", "web"),
    }
    assert (found["session_key"].used_at, found["session_key"].used_by) == (at, "api")
    assert (found["kube_token"].used_at, found["kube_token"].used_by) == (None, None)
    assert (found["session_key"].age, found["session_key"].old) == (120, False)
    assert CANARY not in repr(found)


async def test_services_out_of_sight_are_not_named(estate: Estate) -> None:
    await estate.environments.set_secret(SYSTEM, STAGING, "session_key", CANARY)
    await register(estate, "web", "session_key")
    await register(estate, "api", "session_key")
    await estate.kept.get("api", STAGING, ["session_key"])
    alone = await estate.who("viewer", environment="staging")
    web = Grant(role="viewer", service="web")
    narrow = alone.model_copy(update={"grants": (Grant(role="made-up", actions=READS), web)})
    (found,) = await estate.core.secrets.list(narrow, STAGING)
    assert (found.services, found.used_by) == (("web",), None)
    assert found.used_at is not None
    principal = await estate.who("viewer", environment="production")
    with pytest.raises(Forbidden):
        await estate.core.secrets.list(principal, STAGING)


async def aged(estate: Estate) -> list[tuple[object, ...]]:
    entries = await estate.core.feed.read(SYSTEM, limit=100, filter="type=secret.aged")
    return [
        (entry.payload["environment"], entry.payload["name"], entry.payload["version"], entry.payload["days"])
        for entry in entries
    ]


async def test_an_old_secret_is_told_of_once_in_each_such_time(estate: Estate) -> None:
    await estate.environments.set_secret(SYSTEM, STAGING, "session_key", CANARY)
    await clock(estate).advance(364 * DAY)
    await estate.environments.set_secret(SYSTEM, PRODUCTION, "session_key", CANARY)
    await estate.core.secrets.remind()
    assert await aged(estate) == []
    await clock(estate).advance(2 * DAY)
    for _ in range(3):
        await estate.core.secrets.remind()
        await clock(estate).advance(3600.0)
    first = ("staging", "session_key", 1, 366)
    assert await aged(estate) == [first]
    assert (await uses(estate, "admin"))["session_key"].old
    await clock(estate).advance(364 * DAY)
    await estate.core.secrets.remind()
    assert await aged(estate) == [first, ("production", "session_key", 1, 366)]
    await clock(estate).advance(DAY)
    await estate.core.secrets.remind()
    assert (await aged(estate))[2:] == [("staging", "session_key", 1, 731)]
    await estate.environments.set_secret(SYSTEM, STAGING, "session_key", f"{CANARY}-new")
    await clock(estate).advance(364 * DAY)
    await estate.core.secrets.remind()
    assert len(await aged(estate)) == 4
    await clock(estate).advance(DAY + 1)
    await estate.core.secrets.remind()
    assert (await aged(estate))[4:] == [("staging", "session_key", 2, 365)]


def test_what_was_configured_before_is_known_by_its_keys_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "dg.db"
    prepare(path)
    migrate(path, "state", "0017")
    secret = {"set": True, "version": 1, "fingerprint": "9f2c41aa", "changed_at": 1, "changed_by": "local"}
    older = {"settings": {"gone": 1}, "secrets": {}}
    newest = {
        "settings": {"workers": 4},
        "secrets": dict.fromkeys(("database_url", "api_key_mail", "session_key"), secret),
    }
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO environment_versions (environment, version, at, by, changed, content) "
            "VALUES ('staging', ?, 1, 'local', '[]', ?)",
            [(1, json.dumps(older)), (2, json.dumps(newest))],
        )
    migrate(path, "state", "0018")
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT environment, key FROM environment_keys ORDER BY key").fetchall()
    keys = ("config.api_keys.mail", "config.database_url", "config.workers", "secrets.session_key")
    assert found == [("staging", key) for key in keys]
