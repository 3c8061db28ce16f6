"""Environments: versions, differences, who may, and secrets that nobody reads back."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.core.access.room import signing_key
from tests.files import contents, files_with

from dg.core import ledger
from dg.core.access.models import SYSTEM, CreateRole, Principal
from dg.core.app import Core, open_core
from dg.core.database import Database
from dg.core.environments import store
from dg.core.environments.models import MASK, UpdateEnvironment
from dg.core.environments.service import Environments
from dg.core.environments.vault import KeptSecrets, Vault
from dg.core.errors import Forbidden, Invalid, NotFound, Refused, Stale
from dg.core.home import Home, write_private
from dg.core.testing import ManualClock
from dg.core.types import Environment
from dg.settings import Settings

DEVELOPMENT, STAGING, PRODUCTION = Environment
CANARY = "canary-7f3e91-do-not-show"
URL = f"postgresql://app:{CANARY}@db.internal/app"


@dataclass
class Estate:
    """An open core with its environments."""

    core: Core
    home: Path

    @property
    def environments(self) -> Environments:
        return self.core.environments

    @property
    def db(self) -> Database:
        return self.core.environments._db

    @property
    def vault(self) -> Vault:
        return self.core.environments._vault

    @property
    def kept(self) -> KeptSecrets:
        return KeptSecrets(self.db, self.vault, self.core.clock)

    async def who(self, role: str, **narrowed: Any) -> Principal:
        made = await self.core.tokens.create(SYSTEM, name=f"the {role}", role=role, kind="person", **narrowed)
        return made.token.principal()


@asynccontextmanager
async def open_estate(home: Path, url: str | None = None, *, passive: bool = False) -> AsyncIterator[Estate]:
    Home(home).make()
    write_private(Home(home).keys / "issuer.pem", signing_key())
    settings = Settings.model_validate({"home": home, "database": {"url": url}})
    async with open_core(settings, clock=ManualClock(), environ={}, passive=passive) as core:
        yield Estate(core, home)


@pytest.fixture
async def estate(tmp_path: Path, either_url: str | None) -> AsyncIterator[Estate]:
    async with open_estate(tmp_path / "home", either_url) as found:
        yield found


def wanted(**changes: Any) -> UpdateEnvironment:
    given: dict[str, Any] = {"domain": "app.example.com", "config": {"workers": 4}}
    return UpdateEnvironment.model_validate(given | changes)


Call = Callable[[Environments, Principal], Awaitable[Any]]
READS: dict[str, Call] = {
    "get": lambda e, p: e.get(p, PRODUCTION),
    "history": lambda e, p: e.history(p, PRODUCTION),
    "diff": lambda e, p: e.diff(p, PRODUCTION),
    "compare": lambda e, p: e.diff(p, STAGING, other=PRODUCTION),
}
WRITES: dict[str, Call] = {
    "update": lambda e, p: e.update(p, PRODUCTION, wanted()),
    "preview": lambda e, p: e.preview(p, PRODUCTION, wanted()),
    "restore": lambda e, p: e.restore(p, PRODUCTION, 1),
    "set": lambda e, p: e.set_secret(p, PRODUCTION, "session_key", CANARY),
    "unset": lambda e, p: e.set_secret(p, PRODUCTION, "session_key", None),
}


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("role", ["viewer", "operator", "approver"])
async def test_only_an_admin_changes_an_environment(estate: Estate, name: str, role: str) -> None:
    with pytest.raises(Forbidden):
        await WRITES[name](estate.environments, await estate.who(role))
    assert (await estate.environments.get(SYSTEM, PRODUCTION)).version == 0


@pytest.mark.parametrize("name", [*READS, *WRITES])
async def test_who_is_narrowed_to_staging_has_nothing_of_production(estate: Estate, name: str) -> None:
    narrow = await estate.who("admin", environment="staging")
    with pytest.raises(Forbidden):
        await (READS | WRITES)[name](estate.environments, narrow)
    assert [each.name for each in await estate.environments.list(narrow)] == [STAGING]


async def test_the_three_environments_exist_before_anybody_configures_them(estate: Estate) -> None:
    viewer = await estate.who("viewer")
    found = await estate.environments.list(viewer)
    assert [(each.name, each.version) for each in found] == [(name, 0) for name in Environment]


async def test_a_change_is_a_version_with_who_and_why(estate: Estate) -> None:
    admin = await estate.who("admin")
    await estate.environments.update(admin, STAGING, wanted(reason="first"))
    changed = await estate.environments.update(
        admin, STAGING, wanted(config={"workers": 8, "debug": False}, links={"docs": "https://d.example/"})
    )
    assert (changed.version, changed.config, changed.changed_by_name) == (
        2,
        {"workers": 8, "debug": False},
        "the admin",
    )
    page = await estate.environments.history(admin, STAGING)
    assert [(each.version, each.reason, each.by, each.changed) for each in page.items] == [
        (2, None, admin.id, ("config.debug", "config.workers", "links.docs")),
        (1, "first", admin.id, ("config.workers", "domain")),
    ]
    assert (await estate.environments.get(admin, STAGING, 1)).config == {"workers": 4}
    entries = await estate.core.feed.read(SYSTEM, limit=100, filter="type=environment.updated")
    assert [entry.payload["version"] for entry in entries] == [1, 2]


async def test_the_same_again_makes_no_version(estate: Estate) -> None:
    request = wanted(config={"database_url": URL, "workers": 1}, secrets={"session_key": CANARY})
    first = await estate.environments.update(SYSTEM, STAGING, request)
    assert await estate.environments.update(SYSTEM, STAGING, request) == first
    # 1 and true are equal to Python, and not to who reads the configuration.
    other = await estate.environments.update(SYSTEM, STAGING, wanted(config={"workers": True}))
    assert other.version == 2


async def test_what_was_read_can_be_sent_back(estate: Estate) -> None:
    before = await estate.environments.update(
        SYSTEM,
        STAGING,
        wanted(config={"database_url": URL, "api_keys": {"mail": CANARY}}, secrets={"session_key": CANARY}),
    )
    read = before.model_dump(mode="json", include={"domain", "config", "secrets", "targets", "links"})
    assert await estate.environments.update(SYSTEM, STAGING, UpdateEnvironment.model_validate(read)) == before


async def test_what_is_shown_of_a_secret_keeps_nothing_where_none_is_set(estate: Estate) -> None:
    for changes in ({"config": {"api_keys": {"mail": MASK}}}, {"secrets": {"x": {"set": True}}}):
        with pytest.raises(Invalid, match="nothing to keep"):
            await estate.environments.update(SYSTEM, STAGING, wanted(**changes))


async def test_a_secret_left_out_stays_and_null_unsets_it(estate: Estate) -> None:
    await estate.environments.update(
        SYSTEM, STAGING, wanted(config={"redis_url": "redis://:secret@r/0", "api_keys": {"mail": CANARY}})
    )
    kept = await estate.environments.update(SYSTEM, STAGING, wanted(config={"workers": 2}))
    assert set(kept.config) == {"redis_url", "api_keys", "workers"}
    less = await estate.environments.update(SYSTEM, STAGING, wanted(config={"api_keys": {"mail": None}}))
    assert set(less.config) == {"redis_url"}


async def test_who_changed_it_meanwhile_is_named_and_nothing_is_changed(estate: Estate) -> None:
    admin = await estate.who("admin")
    await estate.environments.update(admin, STAGING, wanted(), 0)
    calls: tuple[Call, ...] = (
        lambda e, p: e.update(p, STAGING, wanted(domain="b.example.com"), 0),
        lambda e, p: e.preview(p, STAGING, wanted(), 0),
        lambda e, p: e.set_secret(p, STAGING, "session_key", CANARY, expected=0),
        lambda e, p: e.restore(p, STAGING, 1, expected=7),
    )
    for call in calls:
        with pytest.raises(Stale, match="at version 1 by now: the admin changed it") as stale:
            await call(estate.environments, SYSTEM)
        assert stale.value.details["changed_by"] == admin.id
    assert (await estate.environments.get(SYSTEM, STAGING)).version == 1


async def test_a_preview_says_what_would_change_and_changes_nothing(estate: Estate) -> None:
    await estate.environments.update(SYSTEM, STAGING, wanted())
    before = (await estate.db.read(ledger.head)).seq
    planned = await estate.environments.preview(
        SYSTEM, STAGING, wanted(config={"workers": "4"}, secrets={"session_key": CANARY})
    )
    assert [
        (each.key, each.before and each.before.type, each.after and each.after.type)
        for each in planned.changes or ()
    ] == [
        ("config.workers", "number", "string"),
        ("secrets.session_key", None, "secret"),
    ]
    assert (planned.version, planned.config["workers"]) == (1, "4")
    assert (await estate.db.read(ledger.head)).seq == before
    assert (await estate.environments.get(SYSTEM, STAGING)).secrets == {}
    assert await estate.db.read(lambda tx: store.last_version(tx, STAGING, "session_key")) == 0


async def test_environments_are_compared_by_keys_types_and_fingerprints(estate: Estate) -> None:
    await estate.environments.update(
        SYSTEM, STAGING, wanted(config={"workers": 4, "flag": True}, secrets={"one": CANARY, "two": CANARY})
    )
    await estate.environments.update(
        SYSTEM, PRODUCTION, wanted(config={"workers": 9}, secrets={"one": CANARY, "two": "another one"})
    )
    diff = await estate.environments.diff(SYSTEM, STAGING, other=PRODUCTION)
    assert [each.key for each in diff.items] == ["config.flag", "config.workers", "secrets.two"]
    assert diff.items[0].after is None
    both = diff.items[2]
    assert both.before is not None
    assert both.after is not None
    assert both.before.fingerprint != both.after.fingerprint
    assert CANARY not in diff.model_dump_json()


async def test_a_version_is_compared_with_the_one_before_it_or_any_other(estate: Estate) -> None:
    for workers in (1, 2, 3):
        await estate.environments.update(
            SYSTEM, STAGING, wanted(config={"workers": workers, f"k{workers}": 1})
        )
    last = await estate.environments.diff(SYSTEM, STAGING)
    assert (last.before, last.after) == ("staging@2", "staging@3")
    whole = await estate.environments.diff(SYSTEM, STAGING, since=0, until=1)
    assert [each.key for each in whole.items] == ["config.k1", "config.workers", "domain"]
    with pytest.raises(NotFound, match="no version 9"):
        await estate.environments.diff(SYSTEM, STAGING, since=9)


async def test_an_older_version_comes_back_as_a_new_one_with_its_secrets(estate: Estate) -> None:
    await estate.environments.update(SYSTEM, STAGING, wanted(secrets={"session_key": "the first one"}))
    await estate.environments.set_secret(SYSTEM, STAGING, "session_key", "the second")
    await estate.environments.set_secret(SYSTEM, STAGING, "session_key", None)
    again = await estate.environments.restore(SYSTEM, STAGING, 1, "the second was wrong")
    assert (again.version, again.secrets["session_key"].version) == (4, 1)
    assert await estate.kept.get("web", STAGING, ["session_key"]) == {"session_key": "the first one"}
    newest = (await estate.environments.history(SYSTEM, STAGING, limit=1)).items[0]
    assert (newest.restored, newest.reason) == (1, "the second was wrong")
    # A version's number is never given twice: it is what the value is bound to.
    third = await estate.environments.set_secret(SYSTEM, STAGING, "session_key", "the third")
    assert third.secrets["session_key"].version == 3


async def test_history_comes_in_pages(estate: Estate) -> None:
    for workers in range(5):
        await estate.environments.update(SYSTEM, STAGING, wanted(config={"workers": workers}))
    first = await estate.environments.history(SYSTEM, STAGING, limit=3)
    rest = await estate.environments.history(SYSTEM, STAGING, cursor=first.next_cursor, limit=3)
    assert [each.version for each in (*first.items, *rest.items)] == [5, 4, 3, 2, 1]
    assert rest.next_cursor is None
    with pytest.raises(Invalid, match="cursor"):
        await estate.environments.history(SYSTEM, STAGING, cursor="-1")


@pytest.fixture
async def lone(tmp_path: Path) -> AsyncIterator[Estate]:
    async with open_estate(tmp_path / "home") as found:
        yield found


async def test_to_unset_what_is_not_set_is_an_error(lone: Estate) -> None:
    with pytest.raises(NotFound, match="`session_key`"):
        await lone.environments.set_secret(SYSTEM, STAGING, "session_key", None)


async def test_who_may_not_set_secrets_may_change_the_rest(lone: Estate) -> None:
    role = CreateRole(name="keeper", actions=("environment:read", "environment:update"))
    granted = await lone.core.roles.create(SYSTEM, role)
    keeper = await lone.who(granted.name)
    await lone.environments.update(keeper, STAGING, wanted())
    assert (await lone.environments.restore(keeper, STAGING, 0)).domain == ""
    await lone.environments.set_secret(SYSTEM, STAGING, "session_key", "of the admin")
    refused: tuple[Call, ...] = (
        lambda e, p: e.update(p, STAGING, wanted(secrets={"session_key": CANARY})),
        lambda e, p: e.update(p, STAGING, wanted(config={"database_url": None})),
        lambda e, p: e.set_secret(p, STAGING, "session_key", CANARY),
        lambda e, p: e.restore(p, STAGING, 0),
    )
    for call in refused:
        with pytest.raises(Forbidden):
            await call(lone.environments, keeper)
    assert (await lone.environments.get(SYSTEM, STAGING)).version == 3


@pytest.mark.parametrize("moved", ["environment", "name", "version", "changed"])
async def test_a_sealed_secret_opens_in_its_own_place_only(lone: Estate, moved: str) -> None:
    for environment in (STAGING, PRODUCTION):
        for key in ("one", "two"):
            for value in ("the first one", "the second one"):
                await lone.environments.set_secret(SYSTEM, environment, key, f"{value} of {key}")
    source = {
        "environment": ("production", "one", 2),
        "name": ("staging", "two", 2),
        "version": ("staging", "one", 1),
        "changed": ("staging", "one", 2),
    }[moved]
    with closing(sqlite3.connect(Home(lone.home).state)) as database, database:
        (sealed,) = database.execute(
            "SELECT sealed FROM environment_secrets WHERE environment = ? AND name = ? AND version = ?",
            source,
        ).fetchone()
        if moved == "changed":
            sealed = sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:]
        database.execute(
            "UPDATE environment_secrets SET sealed = ?"
            " WHERE environment = 'staging' AND name = 'one' AND version = 2",
            (sealed,),
        )
    with pytest.raises(Refused) as refused:
        await lone.kept.get("web", STAGING, ["one"])
    assert refused.value.reason == "sealed"
    assert await lone.kept.get("web", STAGING, ["two"]) == {"two": "the second one of two"}


async def test_a_step_gets_the_secrets_of_its_environment_by_their_names(lone: Estate) -> None:
    await lone.environments.update(
        SYSTEM,
        STAGING,
        wanted(
            config={"database_url": URL, "api_keys": {"mail": "the mail key"}},
            secrets={"session_key": "the session key"},
        ),
    )
    assert await lone.kept.names(STAGING) == {"database_url", "api_key_mail", "session_key"}
    assert await lone.kept.get("web", STAGING, ["database_url", "api_key_mail", "absent"]) == {
        "database_url": URL,
        "api_key_mail": "the mail key",
    }
    assert await lone.kept.names(PRODUCTION) == set()


async def test_a_secret_is_found_nowhere_but_where_a_step_gets_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    request = wanted(
        config={
            "database_url": URL,
            "redis_url": f"redis://:{CANARY}@r/0",
            "api_keys": {"mail": f"{CANARY}-mail"},
        },
        secrets={"session_key": f"{CANARY}-session"},
        reason="rotated",
    )
    assert CANARY not in repr(request)
    async with open_estate(tmp_path / "home") as estate:
        environments = estate.environments
        answers = [
            await environments.preview(SYSTEM, PRODUCTION, request),
            await environments.update(SYSTEM, PRODUCTION, request),
            await environments.set_secret(SYSTEM, PRODUCTION, "late", f"{CANARY}-late"),
            await environments.restore(SYSTEM, PRODUCTION, 1),
            await environments.get(SYSTEM, PRODUCTION),
            await environments.list(SYSTEM),
            await environments.history(SYSTEM, PRODUCTION),
            await environments.diff(SYSTEM, PRODUCTION, since=0),
            await environments.diff(SYSTEM, PRODUCTION, other=STAGING),
            await estate.core.feed.read(SYSTEM, limit=1000),
        ]
        assert CANARY not in repr(answers)
        assert (await estate.kept.get("web", PRODUCTION, ["session_key"]))[
            "session_key"
        ] == f"{CANARY}-session"
    assert CANARY not in caplog.text
    assert list(contents(tmp_path / "home"))
    assert files_with(tmp_path / "home", CANARY) == []


async def test_secrets_open_in_the_next_start_and_with_their_home_s_key_only(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with open_estate(home) as estate:
        await estate.environments.set_secret(SYSTEM, STAGING, "session_key", CANARY)
    async with open_estate(home) as estate:
        assert await estate.kept.get("web", STAGING, ["session_key"]) == {"session_key": CANARY}
    (Home(home).keys / "envelope.key").unlink()
    async with open_estate(home) as estate:
        with pytest.raises(Refused, match="put back the"):
            await estate.kept.get("web", STAGING, ["session_key"])
        assert (await estate.environments.get(SYSTEM, STAGING)).secrets["session_key"].version == 1


async def test_commands_that_say_what_runs_are_refused_unless_the_settings_allow_them(
    estate: Estate, tmp_path: Path
) -> None:
    admin = await estate.who("admin", environment="staging")
    checked = wanted(runs={"web": {"command": ["cat", "/proc/self/status"]}})
    for call in (estate.environments.update, estate.environments.preview):
        with pytest.raises(Invalid, match=r"runs\.web\.command: .*\[drift\] commands = true"):
            await call(admin, STAGING, checked)
    settings = Settings.model_validate({"home": tmp_path / "other", "drift": {"commands": True}})
    Home(settings.home).make()
    write_private(Home(settings.home).keys / "issuer.pem", signing_key())
    async with open_core(settings, clock=ManualClock(), environ={}, passive=True) as core:
        assert (await core.environments.update(SYSTEM, STAGING, checked)).runs["web"].command
        await core.environments.update(SYSTEM, STAGING, wanted(runs={}))
    off = Settings(home=settings.home)
    async with open_core(off, clock=ManualClock(), environ={}, passive=True) as core:
        with pytest.raises(Invalid, match=r"\[drift\] commands = true"):
            await core.environments.restore(SYSTEM, STAGING, 1)
