"""The core put together: one server a home, and a home that is left as it should be."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.core.deployments.world import ADMIN, World, make_settings, open_world

from dg.core import app, schema
from dg.core.app import open_core
from dg.core.deployments.models import Status
from dg.core.errors import Invalid, Refused
from dg.core.home import Home
from dg.core.testing import eventually, settle
from dg.settings import Settings


async def test_a_fresh_home_is_made_private_and_says_that_a_server_started(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    began = time.perf_counter()
    async with open_core(make_settings(home.path)) as core:
        opened = time.perf_counter()
        found = await core.feed.read(ADMIN)
        assert [entry.type for entry in found] == ["server.started"]
        token = home.owner_token.read_text()
        owner = await core.access.authenticate(token)
        assert owner.method == "local"
        assert (await core.feed.verify(ADMIN)).ok
        closing_ = time.perf_counter()
    ended = time.perf_counter()
    print(f"open {opened - began:.3f} s, close {ended - closing_:.3f} s")  # noqa: T201 - shown with -s
    for path in home.path.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


async def test_a_home_has_one_server(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        world.home.address.write_text(json.dumps({"url": "http://127.0.0.1:8470", "pid": 4711}))
        with pytest.raises(Refused, match=r"another dg server holds the home .* \(pid 4711, http") as caught:
            async with open_core(world.settings):
                pass
        assert caught.value.reason == "home_locked"
        assert (await world.core.system.health()).status == "ok"
    async with open_core(world.settings, passive=True):
        pass


async def test_an_old_dg_refuses_a_newer_home(tmp_path: Path) -> None:
    async with open_world(tmp_path, passive=True) as world:
        state = world.home.state
    with closing(sqlite3.connect(state)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(Refused, match="newer"):
        async with open_core(world.settings):
            pass
    async with _restored(state), open_core(world.settings, passive=True):
        pass


class _restored:  # noqa: N801 - reads as a phrase
    """The home as it was before somebody newer came."""

    def __init__(self, state: Path) -> None:
        self._state = state

    async def __aenter__(self) -> None:
        with closing(sqlite3.connect(self._state)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (schema.STATE_HEAD,))
            connection.commit()

    async def __aexit__(self, *_: object) -> None:
        return


async def test_a_database_that_is_not_spoken_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    settings = Settings.model_validate({"home": tmp_path / "home", "database": {"url": "mysql://db/dg"}})
    with pytest.raises(Invalid, match=r"database\.url: write it as postgresql://"):
        async with open_core(settings):
            pass
    assert not (tmp_path / "home").exists()


async def test_a_passive_core_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr(app, "open_scheduler", lambda *_, **__: started.append("scheduler"))
    async with open_world(tmp_path, passive=True) as world:
        await world.register()
        made = await world.create()
        world.core.deployments._dispatcher.wake()
        await settle(50)
        assert (await world.get(made)).status is Status.PENDING
        assert list(world.home.runs.iterdir()) == []
        assert not world.home.owner_token.exists()
        assert "server.started" not in [entry.type for entry in await world.entries()]
    assert started == []


async def test_what_waited_while_no_server_ran_starts_with_the_next_one(tmp_path: Path) -> None:
    async with open_world(tmp_path, passive=True) as world:
        await world.register()
        made = await world.create()
    async with open_world(tmp_path) as world:
        assert (await world.ended(made)).status is Status.SUCCESS


async def test_what_is_not_due_yet_starts_when_it_is(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.register()
        due = world.core.clock.micros() + 400_000
        ended = await world.ended(await world.create(not_before=due))
        assert ended.started_at is not None
        assert ended.started_at >= due


async def test_a_core_without_work_does_not_write(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.register()
        await world.deploy()
        with _version_of(world.home.state) as state, _version_of(world.home.logs) as logs:
            await _quiet(world, state, logs)


async def _quiet(world: World, *versions: Iterator[int]) -> None:
    """Wait for a whole second without a commit; the jobs of a start may come first."""
    seen, since = [next(version) for version in versions], time.monotonic()

    def look() -> bool:
        nonlocal seen, since
        now = [next(version) for version in versions]
        if now != seen:
            seen, since = now, time.monotonic()
        return time.monotonic() - since >= 1.0

    await eventually(look)
    assert (await world.core.system.health()).status == "ok"


@contextmanager
def _version_of(database: Path) -> Iterator[Iterator[int]]:
    """A number that changes with every commit of somebody else."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:

        def versions() -> Iterator[int]:
            while True:
                yield int(connection.execute("PRAGMA data_version").fetchone()[0])

        yield versions()


async def test_a_file_that_is_no_database_is_refused_with_the_way_out(tmp_path: Path) -> None:
    Home(tmp_path / "home").make()
    (tmp_path / "home" / "dg.db").write_bytes(b"not a database" * 100)
    with pytest.raises(Refused, match=r"dg\.db cannot be used: file is not a database; make it writable"):
        async with open_core(Settings(home=tmp_path / "home")):
            pass


async def test_an_anchor_that_cannot_be_kept_shows_in_the_health(tmp_path: Path) -> None:
    ledger = {"anchor_command": ["false"], "anchor_interval": 0.05}
    settings = Settings.model_validate({"home": tmp_path / "home", "ledger": ledger})
    async with open_core(settings) as core:

        async def failed() -> bool:
            return (await core.system.health()).checks["anchor"] == "failed"

        await eventually(failed)
        assert (await core.system.health()).status == "degraded"
        trouble = (await core.system.diagnostics(ADMIN))["anchor"]["trouble"]
        assert trouble == "the ledger's head was not anchored: `false` ended with code 1"
