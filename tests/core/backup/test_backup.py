"""Backups of real homes: what is in one, what comes back, and what is refused with a sentence."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import alembic.command
import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from pydantic import SecretStr
from tests.core.backup.test_sealed import write_plain
from tests.core.deployments.world import ADMIN, OPERATOR, World, make_settings, open_world, step
from tests.core.disk import SmallDisk
from tests.postgresql import TEMPLATE, Cluster

from dg.core import schema
from dg.core.access.models import SYSTEM
from dg.core.backup import archive, databases, keys, reading
from dg.core.backup.encryption import Identity
from dg.core.backup.models import Restored, Taken
from dg.core.backup.proving import prove
from dg.core.backup.restore import restore
from dg.core.backup.take import take
from dg.core.clock import SystemClock
from dg.core.database import SqliteFile, open_database, prepare
from dg.core.deployments.models import Reason, Status
from dg.core.errors import Invalid, NotFound, Problem, Refused, Unavailable
from dg.core.events import HomeRestored, ServerStarted
from dg.core.home import Home
from dg.core.ledger import Ledger
from dg.core.migrations.upgrade import migrate
from dg.core.moving import move
from dg.core.tasks import open_tasks
from dg.settings import Settings
from dg.settings.backup import Backup
from dg.settings.tree import Database

CLOCK = SystemClock()
ENVIRON = {"PATH": os.environ["PATH"]}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A server that runs, with one good deployment behind it."""
    async with open_world(tmp_path) as world:
        await world.register(
            step("rollout", "deploy", "echo rolling out; until test -e go; do sleep 0.02; done")
        )
        world.repository.commit("Go at once", tag="v4", go="")
        await world.deploy("v4")
        yield world
        await world.stop()


KEY = Identity(bytes(range(32)))


def settings_of(
    home: Path, recipients: Sequence[str] = (str(KEY.recipient),), url: str | None = None
) -> Settings:
    """Of a home whose backups are for KEY."""
    return make_settings(home).model_copy(
        update={
            "backup": Backup(recipients=tuple(recipients)),
            "database": Database(url=SecretStr(url) if url else None),
        }
    )


async def taken(home: Path, target: Path, *, secrets: bool = False) -> Taken:
    return await take(settings_of(home), target, clock=CLOCK, environ=ENVIRON, secrets=secrets)


async def restored(source: Path, home: Path) -> Restored:
    return await restore(source, Home(home), clock=CLOCK, environ=ENVIRON, identities=[KEY])


def content_of(path: Path) -> dict[str, bytes]:
    """Every file of a backup."""
    with path.open("rb") as file:
        found = archive.examine(file, [KEY])
        return {each.name: b"".join(each.pieces()) for each in archive.members(found)}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_a_home_comes_back_as_it_was(world: World, tmp_path: Path) -> None:
    (world.home.path / "server.toml").write_text("[server]\nport = 8471\n")
    good = await world.deploy("v4", "staging")
    lines = await world.lines(good)
    made = await taken(world.home.path, tmp_path / "backup")
    other = tmp_path / "other"
    other.mkdir()
    await restored(made.path, other / "home")
    assert (other / "home" / "server.toml").read_text() == "[server]\nport = 8471\n"
    async with open_world(other) as again:
        assert (await again.core.feed.verify(ADMIN)).ok
        assert await again.get(good) == good
        assert await again.lines(good) == lines
        assert await again.core.deployments.receipt(ADMIN, good.id)
        assert again.home.runs.joinpath(good.id, "end.json").exists()
        assert not again.home.runs.joinpath(good.id, "work").exists()
        lane = await again.core.lanes.get(OPERATOR, "web", "staging")
        assert (lane.current, lane.known) == (good.id, True)
        assert (await again.deploy("v4")).status is Status.SUCCESS


async def test_a_commit_that_upstream_forgot_comes_back_with_its_repository(
    world: World, tmp_path: Path
) -> None:
    repository = world.repository
    repository.git("checkout", "--quiet", "-b", "gone", "v4")
    commit = repository.commit("Soon gone", go="still")
    await world.deploy(commit, "development")
    repository.git("checkout", "--quiet", "main")
    repository.git("branch", "--quiet", "-D", "gone")
    made = await taken(world.home.path, tmp_path / "backup")
    home = (await restored(made.path, tmp_path / "restored")).path
    refs = repository.git("--git-dir", str(home / "git" / "web.git"), "for-each-ref", "--format=%(refname)")
    assert f"refs/dg/{commit}" in refs.splitlines()


async def test_what_was_unfinished_ends_and_nothing_starts_by_itself(world: World, tmp_path: Path) -> None:
    running = await world.create("v1", "staging")
    await world.reached(running, lambda found: found.deployment.stage == "rollout")
    waiting = await world.create("v2", "staging")
    made = await taken(world.home.path, tmp_path / "backup")
    found = await restored(made.path, tmp_path / "other" / "home")
    assert [each.id for each in found.interrupted] == [running.id]
    assert [each.id for each in found.unstarted] == [waiting.id]
    async with open_world(tmp_path / "other") as again:
        await again.deploy("v4", "development")
        for deployment, touched in ((running, True), (waiting, False)):
            ended = await again.get(deployment)
            assert (ended.status, ended.reason) == (Status.FAILED, Reason.INTERRUPTED)
            assert ended.touched is touched
        lane = await again.core.lanes.get(OPERATOR, "web", "staging")
        assert (lane.known, lane.holder, lane.queue) == (False, None, ())
        assert lane.lock is not None
        started = {entry.object for entry in await again.entries("deployment.started")}
        assert waiting.id not in started
        (fact,) = await again.entries(HomeRestored.type)
        assert fact.payload == {"made_at": made.manifest.made_at, "head_seq": made.manifest.head.seq}
        assert (await again.core.feed.verify(ADMIN)).ok
    (world.home.runs / running.id / "work" / "go").touch()
    assert (await world.ended(running)).status is Status.SUCCESS


async def test_keys_and_secrets_go_in_only_when_they_are_asked_for(world: World, tmp_path: Path) -> None:
    world.home.secrets.write_text('[production]\nkey = "hush-hush-1"\n')
    world.home.secrets.chmod(0o600)
    safe = await taken(world.home.path, tmp_path / "safe")
    assert safe.missing == (
        "secrets.toml",
        "keys/envelope.key",
        "keys/issuer.pem",
        "keys/pepper",
        "keys/receipts.pem",
        "keys/sessions.key",
    )
    assert not safe.secret
    home = (await restored(safe.path, tmp_path / "without")).path
    assert list((home / "keys").iterdir()) == []
    assert not (home / "secrets.toml").exists()
    full = await taken(world.home.path, tmp_path / "full", secrets=True)
    assert (full.missing, full.secret) == ((), True)
    found = await restored(full.path, tmp_path / "with")
    assert found.keys
    for name in (
        "secrets.toml",
        "keys/envelope.key",
        "keys/issuer.pem",
        "keys/pepper",
        "keys/receipts.pem",
        "keys/sessions.key",
    ):
        assert (found.path / name).read_bytes() == (world.home.path / name).read_bytes()
        assert (found.path / name).stat().st_mode & 0o077 == 0


async def test_what_a_backup_does_not_know_is_named(world: World, tmp_path: Path) -> None:
    (world.home.path / "notes.txt").write_text("mine")
    (world.home.path / "server.toml").write_text("")
    made = await taken(world.home.path, tmp_path / "backup")
    assert made.missing == (
        "notes.txt",
        "keys/envelope.key",
        "keys/issuer.pem",
        "keys/pepper",
        "keys/receipts.pem",
        "keys/sessions.key",
    )


async def test_the_token_of_the_machine_and_the_address_of_the_server_stay_out(
    world: World, tmp_path: Path
) -> None:
    made = await taken(world.home.path, tmp_path / "backup", secrets=True)
    assert {name.partition("/")[0] for name in content_of(made.path)} == {
        "dg.db",
        "logs.db",
        "git",
        "runs",
        "keys",
        "manifest.json",
    }
    assert world.home.owner_token.exists()


async def test_a_link_that_a_step_left_is_not_followed(world: World, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("private")
    run = next(world.home.runs.iterdir())
    (run / "runner.err").unlink()
    (run / "runner.err").symlink_to(outside)
    os.mkfifo(run / "cancel.json")
    made = await taken(world.home.path, tmp_path / "backup")
    assert f"runs/{run.name}/end.json" in made.manifest.files
    assert not {f"runs/{run.name}/{name}" for name in ("runner.err", "cancel.json")} & set(
        made.manifest.files
    )


# --- refused ---------------------------------------------------------------------------------------


async def test_a_backup_replaces_nothing_and_stays_outside_the_home(world: World, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("older")
    for place, reason in (
        (tmp_path / "there", "exists"),
        (world.home.path / "backup", "inside_home"),
        (tmp_path / "no" / "folder", "no_folder"),
    ):
        with pytest.raises(Refused) as refused:
            await taken(world.home.path, place)
        assert refused.value.reason == reason
    assert (tmp_path / "there").read_text() == "older"


async def test_there_must_be_a_home(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="holds no record of anything"):
        await taken(tmp_path / "nowhere", tmp_path / "backup")


async def test_a_home_is_backed_up_by_its_own_user(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(Refused, match=r"belongs to another user .* run dg as that user"):
        await taken(world.home.path, tmp_path / "backup")


async def test_a_damaged_home_makes_no_backup(world: World, tmp_path: Path) -> None:
    made = await taken(world.home.path, tmp_path / "sound")
    home = (await restored(made.path, tmp_path / "damaged")).path
    with closing(sqlite3.connect(home / "dg.db")) as connection:
        connection.execute("UPDATE ledger SET actor = 'nobody' WHERE seq = 2")
        connection.commit()
    before = names(tmp_path)
    with pytest.raises(Invalid, match="entry 2 was changed after it was written"):
        await taken(home, tmp_path / "backup")
    assert names(tmp_path) == before


async def test_a_disk_without_room_is_refused_before_anything_is_written(
    world: World, tmp_path: Path, small_disk: SmallDisk
) -> None:
    made = await taken(world.home.path, tmp_path / "backup")
    small_disk.fill()
    there = list(small_disk.path.iterdir())
    with pytest.raises(Unavailable, match="choose another disk"):
        await taken(world.home.path, small_disk.path / "backup")
    with pytest.raises((Unavailable, Refused), match="choose another"):
        await restored(made.path, small_disk.path / "home")
    assert list(small_disk.path.iterdir()) == there


async def test_a_disk_that_fills_up_leaves_nothing(
    world: World, tmp_path: Path, small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = next(world.home.runs.iterdir())
    (run / "log" / "000000000099-000").write_bytes(os.urandom(2 << 20))
    made = await taken(world.home.path, tmp_path / "backup")
    plenty = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: plenty)
    with pytest.raises(Unavailable, match="there is no room for"):
        await taken(world.home.path, small_disk.path / "backup")
    with pytest.raises(Unavailable, match="No space left"):
        await restored(made.path, small_disk.path / "home")
    assert list(small_disk.path.iterdir()) == []


async def test_a_home_that_is_not_empty_is_left_alone(world: World, tmp_path: Path) -> None:
    made = await taken(world.home.path, tmp_path / "backup")
    with pytest.raises(Refused, match="is not empty"):
        await restored(made.path, world.home.path)
    file = tmp_path / "file"
    file.write_text("a file")
    with pytest.raises(Refused, match="is not empty"):
        await restored(made.path, file)


async def test_a_backup_cut_off_leaves_no_home_behind(world: World, tmp_path: Path) -> None:
    made = await taken(world.home.path, tmp_path / "backup")
    content = made.path.read_bytes()
    home = tmp_path / "restored"
    for point in range(0, 100, 20):
        made.path.write_bytes(content[: len(content) * point // 100])
        with pytest.raises(Invalid, match="this backup cannot be used"):
            await restored(made.path, home)
        assert not home.exists()
    home.mkdir(mode=0o700)
    with pytest.raises(Invalid):
        await restored(made.path, home)
    assert list(home.iterdir()) == []


def forged(source: Path, target: Path, **changes: bytes | None) -> Path:
    """A backup with other files in it, as somebody would make it who means harm; None leaves one out.

    A name's dots are written as `__`.
    """
    content = content_of(source)
    manifest = json.loads(content.pop("manifest.json"))
    for name, data in changes.items():
        path = name.replace("__", ".")
        content.pop(path, None)
        manifest["files"].pop(path, None)
        if data is not None:
            content[path] = data
            manifest["files"][path] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    # Whoever changes the rows counts them too.
    manifest["counts"] = {}
    content["manifest.json"] = json.dumps(manifest).encode()
    target.unlink(missing_ok=True)
    with archive.writing(target, [KEY.recipient]) as writer:
        for path, data in content.items():
            writer.add(path, io.BytesIO(data), len(data))
        writer.finish(lambda _: None)
    return target


def rewritten(database: Path, statement: str) -> bytes:
    """The file of a database after one statement."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(statement)
        connection.commit()
        connection.execute("PRAGMA journal_mode = DELETE")
    return database.read_bytes()


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE ledger SET payload = '{}' WHERE seq = 3", "entry 3 was changed after it was written"),
        ("DELETE FROM ledger WHERE seq = 3", "entry 3 is missing"),
        ("DELETE FROM ledger WHERE seq > 5", "rows are missing"),
        ("UPDATE alembic_version SET version_num = '9999'", "newer than this dg"),
        ("DROP TABLE ledger_head", "dg.db is damaged: no such table"),
    ],
)
async def test_a_state_that_is_not_whole_is_refused(
    world: World, tmp_path: Path, statement: str, sentence: str
) -> None:
    made = await taken(world.home.path, tmp_path / "backup")
    copied = tmp_path / "copy.db"
    databases.copy(world.home.state, copied)
    false = forged(made.path, tmp_path / "forged", dg__db=rewritten(copied, statement))
    with pytest.raises(Invalid, match=sentence):
        await restored(false, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


async def test_a_file_that_is_not_what_the_manifest_says_is_refused(world: World, tmp_path: Path) -> None:
    made = await taken(world.home.path, tmp_path / "backup")
    for changes, sentence in (
        ({"dg__db": b"no database"}, r"dg\.db is damaged"),
        ({"logs__db": None}, r"it has no logs\.db"),
    ):
        false = forged(made.path, tmp_path / "forged", **changes)
        with pytest.raises(Invalid, match=sentence):
            await restored(false, tmp_path / "restored")
        assert not (tmp_path / "restored").exists()


async def test_rows_that_are_not_what_was_counted_are_refused(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = databases.counts
    monkeypatch.setattr(databases, "counts", lambda path: {**counted(path), "receipts": 99})
    made = await taken(world.home.path, tmp_path / "backup")
    monkeypatch.undo()
    with pytest.raises(Invalid, match="its manifest counts 99 rows of receipts, and there are 1"):
        await restored(made.path, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


async def test_a_backup_that_is_not_encrypted_as_older_ones_still_restores(
    world: World, tmp_path: Path
) -> None:
    content = content_of((await taken(world.home.path, tmp_path / "backup")).path)
    manifest = json.loads(content.pop("manifest.json"))
    older = {name: manifest[name] for name in ("version", "made_at", "schema", "head", "files")}
    content["manifest.json"] = json.dumps({**older, "format": "dg.backup/1"}).encode()
    found = await restored(write_plain(tmp_path / "older.tar.gz", content), tmp_path / "restored")
    assert databases.check_ledger(Home(found.path).state).seq > manifest["head"]["seq"]


async def test_bits_flipped_and_ends_cut_at_a_hundred_places_leave_nothing_half_restored(
    world: World, tmp_path: Path
) -> None:
    made = await taken(world.home.path, tmp_path / "backup")
    whole, home = made.path.read_bytes(), tmp_path / "restored"
    for point in range(100):
        place = len(whole) * point // 100
        flipped = bytearray(whole)
        flipped[place] ^= 0x10
        for content in (flipped, whole[:place]):
            made.path.write_bytes(content)
            with pytest.raises(Problem) as refused:
                await restored(made.path, home)
            assert refused.value.reason in {"bad_backup", "wrong_key"}
            assert not home.exists()


# --- for whom ------------------------------------------------------------------------------------


async def test_without_recipients_a_home_has_a_key_of_its_own(world: World, tmp_path: Path) -> None:
    settings = make_settings(world.home.path)
    made = await take(settings, tmp_path / "backup", clock=CLOCK, environ=ENVIRON)
    file = world.home.keys / "backup.key"
    assert file.stat().st_mode & 0o777 == 0o600
    (own,) = keys.identities(settings)
    assert made.keys == (own.recipient.name,)
    assert reading.verify(made.path, keys.identities(settings, file)).manifest == made.manifest


async def test_a_server_whose_recipients_are_named_keeps_no_key_that_opens_its_backups(
    world: World, tmp_path: Path
) -> None:
    made = await taken(world.home.path, tmp_path / "backup")
    assert not (world.home.keys / "backup.key").exists()
    assert keys.identities(settings_of(world.home.path)) == ()
    with pytest.raises(Refused, match="there is no key at hand"):
        reading.verify(made.path, ())


@pytest.mark.parametrize("word", ["dgbp_short", "dgbs_" + "A" * 43, "age1xyz", "dgbp_" + "!" * 43])
async def test_what_is_no_public_key_is_refused(world: World, tmp_path: Path, word: str) -> None:
    settings = settings_of(world.home.path, [word])
    with pytest.raises(Invalid, match=r"backup\.recipients: this is not a public key of backups") as refused:
        await take(settings, tmp_path / "backup", clock=CLOCK, environ=ENVIRON)
    assert word not in refused.value.message


async def test_the_canary_of_a_secret_is_not_found_in_a_backup(world: World, tmp_path: Path) -> None:
    canary = "canary-2b9c7e1f"
    world.home.secrets.write_text(f'[production]\nkey = "{canary}"\n')
    world.home.secrets.chmod(0o600)
    made = await taken(world.home.path, tmp_path / "backup", secrets=True)
    assert canary.encode() in b"".join(content_of(made.path).values())
    raw = made.path.read_bytes()
    assert canary.encode() not in raw
    assert not list((world.home.path / "scratch").iterdir())


async def test_no_copy_that_is_not_encrypted_ever_lies_beside_the_backup(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, seen = tmp_path / "target" / "backup", set()
    target.parent.mkdir()
    copied = databases.check_ledger

    def look(path: Path) -> object:
        seen.update(names(target.parent))
        assert path.is_relative_to(world.home.path / "scratch")
        return copied(path)

    monkeypatch.setattr(databases, "check_ledger", look)
    await taken(world.home.path, target)
    assert [name.startswith(".dg-unfinished-") for name in seen] == [True]


# --- tried ---------------------------------------------------------------------------------------


async def test_a_backup_is_proved_in_a_scratch_home_of_which_nothing_stays(
    world: World, tmp_path: Path
) -> None:
    made = await taken(world.home.path, tmp_path / "backup")
    scratch = tmp_path / "scratch"
    proof = await prove(made.path, scratch, clock=CLOCK, environ=ENVIRON, identities=[KEY])
    assert proof.manifest == made.manifest
    assert proof.repositories == 1
    assert list(scratch.iterdir()) == []
    made.path.write_bytes(made.path.read_bytes()[:-1])
    with pytest.raises(Invalid, match="this backup cannot be used"):
        await prove(made.path, scratch, clock=CLOCK, environ=ENVIRON, identities=[KEY])
    assert list(scratch.iterdir()) == []


async def test_scratch_that_a_kill_left_goes_with_the_next_one(world: World, tmp_path: Path) -> None:
    made = await taken(world.home.path, tmp_path / "backup")
    left = tmp_path / "scratch" / "left"
    (left / "home").mkdir(parents=True)
    (left / "home" / "dg.db").write_text("plain")
    await prove(made.path, tmp_path / "scratch", clock=CLOCK, environ=ENVIRON, identities=[KEY])
    assert not left.exists()


# --- PostgreSQL ----------------------------------------------------------------------------------


async def test_a_home_with_postgresql_is_backed_up_beside_its_server_and_comes_back(
    tmp_path: Path, cluster: Cluster
) -> None:
    url, empty = cluster.create(TEMPLATE), cluster.create()
    async with open_world(tmp_path, url=url) as world:
        await world.register()
        first = await world.deploy("v1")
        settings = settings_of(world.home.path, url=url)
        made = await take(settings, tmp_path / "backup", clock=CLOCK, environ=ENVIRON, secrets=True)
        await world.deploy("v2")
        lines = await world.lines(first)
    assert made.manifest.store == "postgresql"
    assert made.manifest.counts["deployments"] == 1
    proof = await prove(made.path, tmp_path / "scratch", clock=CLOCK, environ=ENVIRON, identities=[KEY])
    assert proof.manifest == made.manifest
    found = await restored(made.path, tmp_path / "other" / "home")
    move(make_settings(found.path), empty)
    async with open_world(tmp_path / "other", url=empty) as again:
        assert (await again.core.feed.verify(ADMIN)).ok
        assert await again.get(first) == first
        assert await again.lines(first) == lines
        assert (await again.deploy("v1")).status is Status.SUCCESS
    for each in (url, empty):
        cluster.drop(each)


async def test_a_database_that_another_dg_works_with_is_not_backed_up(
    tmp_path: Path, cluster: Cluster
) -> None:
    url = cluster.create(TEMPLATE)
    Home(tmp_path / "home").make()
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    settings = settings_of(tmp_path / "home", url=url)
    with pytest.raises(Refused, match="has schema 0001, and this dg works with"):
        await take(settings, tmp_path / "backup", clock=CLOCK, environ=ENVIRON)
    assert names(tmp_path) == {"home"}
    cluster.drop(url)


async def test_a_database_that_does_not_answer_is_refused_without_its_password(tmp_path: Path) -> None:
    Home(tmp_path / "home").make()
    url = "postgresql://dg:hush-hush@127.0.0.1:1/dg"
    settings = settings_of(tmp_path / "home", url=url)
    with pytest.raises(Refused, match="cannot be used") as refused:
        await take(settings, tmp_path / "backup", clock=CLOCK, environ=ENVIRON)
    assert "hush" not in refused.value.message


async def test_a_backup_of_an_older_dg_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Home(tmp_path / "old")
    old.make()
    with monkeypatch.context() as patch:
        newest = alembic.command.upgrade
        patch.setattr(alembic.command, "upgrade", lambda config, _: newest(config, oldest(config)))
        for path, kind in ((old.state, "state"), (old.logs, "logs")):
            prepare(path)
            migrate(path, kind, "head")
    clock = SystemClock()
    async with (
        open_tasks() as tasks,
        open_database(SqliteFile(old.state), clock=clock, tasks=tasks, seal=Ledger(clock).seal) as db,
    ):
        await db.write(lambda tx: tx.append(ServerStarted(version="0.0.1"), by=SYSTEM))
    made = await taken(old.path, tmp_path / "backup")
    assert made.manifest.schema_["state"] == "0001"
    found = await restored(made.path, tmp_path / "restored")
    assert databases.revision(Home(found.path).state) == schema.STATE_HEAD
    assert databases.check_ledger(Home(found.path).state).seq == 2


def oldest(config: Config) -> str:
    """The first revision of a kind of database."""
    (base,) = ScriptDirectory.from_config(config).get_bases()
    return base
