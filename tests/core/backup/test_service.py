"""Backups that a server makes: of environments on demand, and of what the settings name by itself."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.core.access.room import signing_key
from tests.files import files_with

from dg.core.access.models import SYSTEM, Principal
from dg.core.app import Core, open_core
from dg.core.backup import archive, environment
from dg.core.backup.encryption import Identity
from dg.core.backup.models import BackupRecord, Point
from dg.core.clock import SECOND
from dg.core.environments.models import Ciphertext, EnvironmentState, Graded, KeptVersion, UpdateEnvironment
from dg.core.errors import Forbidden, Invalid, NotFound, Refused, Stale, Unavailable
from dg.core.home import Home, write_private
from dg.core.testing import ManualClock
from dg.core.types import Environment
from dg.settings import Settings

DEVELOPMENT, STAGING, PRODUCTION = Environment
CANARY = "canary-41c7d2-do-not-show"
DAY = 86400


@dataclass
class House:
    """An open core with its backups, and its clock."""

    core: Core
    clock: ManualClock
    home: Path

    async def who(self, role: str, **narrowed: Any) -> Principal:
        made = await self.core.tokens.create(SYSTEM, name=f"the {role}", role=role, kind="person", **narrowed)
        return made.token.principal()

    async def configure(self, name: Environment = STAGING, **changed: Any) -> EnvironmentState:
        given = {"domain": "app.example.com", "config": {"workers": 4}, "secrets": {"session_key": CANARY}}
        wish = UpdateEnvironment.model_validate(given | changed)
        return await self.core.environments.update(SYSTEM, name, wish)

    async def facts(self, kind: str) -> list[dict[str, Any]]:
        found = await self.core.feed.read(SYSTEM, limit=200, filter=f"type={kind}")
        return [entry.payload for entry in found]

    async def backups(self, name: Environment | None = None) -> list[BackupRecord]:
        return list(await self.core.backups.list(SYSTEM, name))

    async def secret(self, name: Environment, key: str) -> str:
        environments = self.core.environments
        version = (await environments.get(SYSTEM, name)).secrets[key].version
        return await environments._db.read(lambda tx: environments._vault.open(tx, name, key, version))

    async def sign(self) -> str:
        return (await self.core.system.health()).checks["backups"]


@asynccontextmanager
async def open_house(
    home: Path, url: str | None = None, commands: int = 0, **settings: Any
) -> AsyncIterator[House]:
    """A core whose table `[backup]` is `settings`, in which probes may run so many commands."""
    Home(home).make()
    if not (Home(home).keys / "issuer.pem").exists():
        write_private(Home(home).keys / "issuer.pem", signing_key())
    clock = ManualClock()
    probes = {"commands": commands}
    found = Settings.model_validate(
        {"home": home, "database": {"url": url}, "backup": settings, "probes": probes}
    )
    async with open_core(found, clock=clock, environ={"PATH": os.environ["PATH"]}, passive=True) as core:
        yield House(core, clock, home)


@pytest.fixture
async def house(tmp_path: Path, either_url: str | None) -> AsyncIterator[House]:
    async with open_house(tmp_path / "home", either_url) as found:
        yield found


# --- one environment ------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["viewer", "operator", "approver"])
async def test_only_an_admin_restores_and_a_viewer_makes_nothing(house: House, role: str) -> None:
    await house.configure()
    await house.core.backups.make(SYSTEM, STAGING, "first")
    who = await house.who(role)
    for call in (house.core.backups.restore, house.core.backups.preview):
        with pytest.raises(Forbidden):
            await call(who, STAGING, "first")
    if role != "operator":
        with pytest.raises(Forbidden):
            await house.core.backups.make(who, STAGING, "second")
    assert len(await house.core.backups.list(who, STAGING)) == 1


async def test_who_is_narrowed_to_staging_sees_and_makes_nothing_of_production(house: House) -> None:
    await house.configure(PRODUCTION)
    await house.core.backups.make(SYSTEM, PRODUCTION, "first")
    narrow = await house.who("admin", environment="staging")
    backups = house.core.backups
    with pytest.raises(Forbidden):
        await backups.list(narrow, PRODUCTION)
    with pytest.raises(Forbidden):
        await backups.make(narrow, PRODUCTION, "mine")
    with pytest.raises(Forbidden):
        await backups.restore(narrow, PRODUCTION, "first")
    assert await backups.list(narrow) == ()


async def test_an_environment_comes_back_as_a_new_version(house: House) -> None:
    await house.configure(links={"docs": "https://d.example/"})
    made = await house.core.backups.make(SYSTEM, STAGING, "before-the-move")
    assert (made.version, made.place, made.tested_at) == (1, "staging/before-the-move", None)
    await house.configure(
        config={"workers": 9, "new": True}, secrets={"session_key": "another-one", "extra": "e" * 9}
    )
    planned = await house.core.backups.preview(SYSTEM, STAGING, made.id)
    assert [each.key for each in planned.changes or ()] == [
        *("config.new", "config.workers", "links.docs", "secrets.extra", "secrets.session_key")
    ]
    assert (await house.core.environments.get(SYSTEM, STAGING)).version == 2
    admin = await house.who("admin")
    after = await house.core.backups.restore(admin, STAGING, made.id, "the move failed")
    assert (after.version, after.config["workers"], sorted(after.secrets)) == (3, 4, ["session_key"])
    assert await house.secret(STAGING, "session_key") == CANARY
    newest = (await house.core.environments.history(SYSTEM, STAGING)).items[0]
    assert (newest.by, newest.reason) == (admin.id, "the move failed")
    assert (await house.facts("environment.updated"))[-1]["backup"] == "before-the-move"
    again = await house.core.backups.restore(admin, STAGING, made.id)
    assert again.version == 3


async def test_a_restore_from_a_version_that_is_not_the_newest_is_refused(house: House) -> None:
    await house.configure()
    await house.core.backups.make(SYSTEM, STAGING, "first")
    await house.configure(config={"workers": 5})
    for call in (house.core.backups.restore, house.core.backups.preview):
        with pytest.raises(Stale):
            await call(SYSTEM, STAGING, "first", expected=1)


async def test_a_backup_of_one_name_is_made_once(house: House) -> None:
    await house.configure()
    first = await house.core.backups.make(SYSTEM, STAGING, "nightly")
    await house.configure(config={"workers": 5})
    assert await house.core.backups.make(SYSTEM, STAGING, "nightly") == first
    assert len(await house.facts("backup.made")) == 1
    (fact,) = await house.facts("backup.made")
    assert fact == {
        "backup": "staging/nightly",
        "environment": "staging",
        "size": first.size,
        "sha256": first.sha256,
        "head_seq": first.head_seq,
        "scheduled": False,
    }


async def test_what_was_never_configured_has_nothing_to_back_up(house: House) -> None:
    with pytest.raises(Refused, match="staging was never configured") as refused:
        await house.core.backups.make(SYSTEM, STAGING, "first")
    assert refused.value.reason == "never_configured"
    assert [each["reason"] for each in await house.facts("backup.failed")] == [refused.value.message]


async def test_the_canary_is_in_no_file_event_or_answer(house: House) -> None:
    await house.configure()
    made = await house.core.backups.make(SYSTEM, STAGING, "first")
    planned = await house.core.backups.preview(SYSTEM, STAGING, "first")
    after = await house.core.backups.restore(SYSTEM, STAGING, "first")
    said = [made.model_dump_json(), planned.model_dump_json(), after.model_dump_json()]
    entries = await house.core.feed.read(SYSTEM, limit=200)
    said += [json.dumps(entry.payload) for entry in entries]
    assert not [text for text in said if CANARY in text]
    assert files_with(house.home, CANARY) == []
    file = house.home / "backups" / made.file
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    _, snapshot = environment.read_snapshot(file, house.core.backups._identities())
    assert snapshot.secrets == {"session_key": Graded(CANARY)}
    assert CANARY not in repr(snapshot)


async def test_a_changed_or_missing_file_restores_nothing(house: House) -> None:
    await house.configure()
    made = await house.core.backups.make(SYSTEM, STAGING, "first")
    await house.configure(config={"workers": 5})
    path = house.home / "backups" / made.file
    whole = path.read_bytes()
    for point in range(100):
        place = len(whole) * point // 100
        flipped = bytearray(whole)
        flipped[place] ^= 0x20
        for content in (flipped, whole[:place]):
            path.write_bytes(content)
            with pytest.raises((Invalid, Refused)):
                await house.core.backups.restore(SYSTEM, STAGING, "first")
    path.unlink()
    with pytest.raises(NotFound, match="is gone"):
        await house.core.backups.restore(SYSTEM, STAGING, "first")
    with pytest.raises(NotFound, match="staging has no backup `second`"):
        await house.core.backups.restore(SYSTEM, STAGING, "second")
    assert (await house.core.environments.get(SYSTEM, STAGING)).version == 2


async def test_a_backup_of_another_environment_in_its_place_restores_nothing(house: House) -> None:
    await house.configure(STAGING)
    await house.configure(PRODUCTION)
    of_staging = await house.core.backups.make(SYSTEM, STAGING, "first")
    of_production = await house.core.backups.make(SYSTEM, PRODUCTION, "first")
    folder = house.home / "backups"
    (folder / of_staging.file).write_bytes((folder / of_production.file).read_bytes())
    await house.configure(PRODUCTION, config={"workers": 5})
    with pytest.raises(Invalid, match="not the file that this server made"):
        await house.core.backups.restore(SYSTEM, STAGING, "first")
    assert (await house.core.environments.get(SYSTEM, PRODUCTION)).version == 2


async def test_a_forged_or_an_earlier_backup_in_its_place_restores_nothing(house: House) -> None:
    await house.configure()
    earlier = await house.core.backups.make(SYSTEM, STAGING, "earlier")
    await house.configure(config={"workers": 5})
    made = await house.core.backups.make(SYSTEM, STAGING, "newer")
    folder, identities = house.home / "backups", house.core.backups._identities()
    _, snapshot = environment.read_snapshot(folder / earlier.file, identities)
    values = {"session_key": {1: "of whoever wrote to the folder"}}
    forged = folder / "forged.dgb"
    environment.write(
        snapshot.model_copy(update={"values": values}),
        forged,
        [identities[0].recipient],
        head=Point(seq=1, hash="0" * 64, at=0),
        made_at=0,
    )
    for other in (forged, folder / earlier.file):
        (folder / made.file).write_bytes(other.read_bytes())
        with pytest.raises(Invalid, match="not the file that this server made"):
            await house.core.backups.restore(SYSTEM, STAGING, "newer")
    assert (await house.core.environments.get(SYSTEM, STAGING)).version == 2
    assert await house.secret(STAGING, "session_key") == CANARY


async def test_a_new_home_gets_the_history_too(tmp_path: Path) -> None:
    async with open_house(tmp_path / "old") as old:
        await old.configure()
        await old.configure(secrets={"session_key": "the-second-one"}, reason="rotated")
        await old.configure(config={"workers": 8}, secrets={})
        made = await old.core.backups.make(SYSTEM, STAGING, "last")
        identities = old.core.backups._identities()
        before = (await old.core.environments.history(SYSTEM, STAGING)).items
    path = tmp_path / "old" / "backups" / made.file
    async with open_house(tmp_path / "new") as new:
        _, snapshot = environment.read_snapshot(path, identities)
        after = await new.core.environments.put_back(SYSTEM, snapshot, made.id)
        assert (after.version, after.config["workers"]) == (3, 8)
        history = (await new.core.environments.history(SYSTEM, STAGING)).items
        assert [(each.version, each.changed) for each in history] == [
            (each.version, each.changed) for each in before
        ]
        assert history[1].reason == "rotated"
        assert history[0].reason == "restored from the backup last"
        assert await new.secret(STAGING, "session_key") == "the-second-one"
        back = await new.core.environments.restore(SYSTEM, STAGING, 1)
        assert await new.secret(STAGING, "session_key") == CANARY
        assert back.secrets["session_key"].fingerprint != after.secrets["session_key"].fingerprint
        diff = await new.core.environments.diff(SYSTEM, STAGING, since=1, until=4)
        assert diff.items == ()


async def test_a_backup_of_what_no_request_could_have_made_is_not_put_back(house: House) -> None:
    await house.configure()
    made = await house.core.backups.make(SYSTEM, STAGING, "first")
    _, snapshot = environment.read_snapshot(
        house.home / "backups" / made.file, house.core.backups._identities()
    )
    content, version = snapshot.content, snapshot.versions[-1].version
    crafted = {
        "domain": content.model_copy(update={"domain": "Not A Host"}),
        "config.": content.model_copy(update={"settings": {"\x1b[2J": 1}}),
        "links.docs": content.model_copy(update={"links": {"docs": "javascript:alert(1)"}}),
        "probes": content.model_copy(update={"probes": {"web": {"kind": "\x1b]0;"}}}),
    }
    for field, wrong in crafted.items():
        kept = KeptVersion(version=version, content=wrong)
        with pytest.raises(Invalid, match=re.escape(field)):
            await house.core.environments.put_back(
                SYSTEM, snapshot.model_copy(update={"versions": (kept,)}), "crafted"
            )
    short = {"session_key": {1: "abc"}}
    with pytest.raises(Invalid, match="session_key: is shorter"):
        await house.core.environments.put_back(
            SYSTEM, snapshot.model_copy(update={"values": short}), "crafted"
        )
    assert (await house.core.environments.get(SYSTEM, STAGING)).version == 1


async def test_what_only_the_runner_opens_comes_back_as_the_ciphertext_that_it_was(tmp_path: Path) -> None:
    ciphertext = Ciphertext(ciphertext="age-encryption.org/v1 abcdefgh")
    async with open_house(tmp_path / "old") as old:
        await old.configure()
        await old.core.environments.set_secret(SYSTEM, STAGING, "session_key", ciphertext)
        await old.configure(config={"workers": 8}, secrets={})
        made = await old.core.backups.make(SYSTEM, STAGING, "first")
        await old.configure(secrets={"session_key": "in-the-open"})
        after = await old.core.backups.restore(SYSTEM, STAGING, "first")
        assert after.secrets["session_key"].grade == "runner_only"
        identities = old.core.backups._identities()
    async with open_house(tmp_path / "new") as new:
        _, snapshot = environment.read_snapshot(tmp_path / "old" / "backups" / made.file, identities)
        await new.core.environments.put_back(SYSTEM, snapshot, made.id)
        grades = [
            (await new.core.environments.get(SYSTEM, STAGING, version)).secrets["session_key"].grade
            for version in (1, 2, 3)
        ]
        assert grades == ["at_rest", "runner_only", "runner_only"]
        assert await new.secret(STAGING, "session_key") == ciphertext.ciphertext


async def test_a_server_without_the_private_key_makes_backups_and_restores_none(tmp_path: Path) -> None:
    key = Identity.make()
    async with open_house(tmp_path / "home", recipients=[str(key.recipient)]) as house:
        await house.configure()
        made = await house.core.backups.make(SYSTEM, STAGING, "first")
        assert made.keys == (key.recipient.name,)
        with pytest.raises(Refused, match="there is no key at hand") as refused:
            await house.core.backups.restore(SYSTEM, STAGING, "first")
        assert refused.value.reason == "wrong_key"


# --- by itself ------------------------------------------------------------------------------------


async def test_what_the_settings_name_is_made_and_old_ones_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    async with open_house(
        tmp_path / "home",
        at="30 2 * * *",
        what=["home", "staging", "development"],
        folder=str(folder),
        keep_last=1,
        keep_daily=2,
        keep_weekly=0,
        keep_monthly=0,
    ) as house:
        await house.configure()
        by_hand = await house.core.backups.make(SYSTEM, STAGING, "by-hand")
        for _ in range(4):
            await house.clock.advance(DAY)
            await house.core.backups.make_due()
        found = await house.backups()
        assert [each.what for each in found if each.scheduled].count("home") == 2
        assert [each.what for each in found if each.scheduled].count("staging") == 2
        assert by_hand.id in {each.id for each in found}
        assert {path.name for path in folder.iterdir()} == {each.file for each in found}
        assert len(await house.facts("backup.removed")) == 4
        assert not [each for each in found if each.what == "development"]
        assert await house.facts("backup.failed") == []
        assert await house.sign() == "ok"


async def test_a_backup_that_cannot_be_made_is_an_event_and_a_sign(tmp_path: Path) -> None:
    async with open_house(tmp_path / "home", every=60, folder=str(tmp_path / "gone")) as house:
        assert await house.sign() == "ok"
        await house.core.backups.make_due()
        (fact,) = await house.facts("backup.failed")
        assert "there is no folder" in fact["reason"]
        assert fact["scheduled"] is True
        assert await house.sign() == "failed"
        assert "home make" in house.core.backups.figures["failed"]
        (tmp_path / "gone").mkdir()
        await house.core.backups.make_due()
        assert await house.sign() == "ok"


async def test_a_backup_that_was_not_made_in_time_is_overdue(tmp_path: Path) -> None:
    async with open_house(tmp_path / "home", every=DAY, folder=str(tmp_path)) as house:
        await house.clock.advance(DAY + 3601)
        assert await house.sign() == "overdue"
        assert house.core.backups.figures["overdue"] == ("home",)
        await house.core.backups.make_due()
        assert await house.sign() == "ok"


async def test_how_old_the_newest_is_outlives_a_restart(tmp_path: Path) -> None:
    async with open_house(tmp_path / "home", every=DAY, folder=str(tmp_path)) as house:
        await house.core.backups.make_due()
        made = house.clock.micros()
    async with open_house(tmp_path / "home", every=DAY, folder=str(tmp_path)) as house:
        await house.clock.advance((made - house.clock.micros()) / SECOND + DAY + 3601)
        await house.core.backups.begin()
        assert await house.sign() == "overdue"


async def test_a_home_is_not_backed_up_into_itself(tmp_path: Path) -> None:
    home = tmp_path / "home"
    wishes: tuple[dict[str, Any], ...] = ({}, {"folder": str(home / "elsewhere")})
    for inside in wishes:
        with pytest.raises(Invalid, match=r"set backup\.folder to a place outside"):
            async with open_house(home, every=60, **inside):
                pass
    async with open_house(home, every=60, what=["staging"]) as house:
        await house.core.backups.make_due()
        assert not await house.facts("backup.failed")


async def test_without_a_schedule_there_is_no_sign(house: House) -> None:
    assert "backups" not in (await house.core.system.health()).checks
    assert house.core.backups.jobs() == ()


# --- taken elsewhere -------------------------------------------------------------------------------

STAND_IN = """#!/bin/sh
case "$1 $2" in
"s3 cp") cat > "{bucket}/$(basename "$4")" ;;
*) echo "unknown command" >&2; exit 2 ;;
esac
"""


async def test_a_command_takes_each_backup_elsewhere(tmp_path: Path) -> None:
    """The recipe for S3 in docs/backup.md, with a stand-in for its program."""
    bucket, program = tmp_path / "bucket", tmp_path / "aws"
    bucket.mkdir()
    program.write_text(STAND_IN.format(bucket=bucket))
    program.chmod(0o700)
    command = ["sh", "-c", f'{program} s3 cp - "s3://backups/$DG_BACKUP_NAME"']
    async with open_house(tmp_path / "home", command=command) as house:
        await house.configure()
        made = await house.core.backups.make(SYSTEM, STAGING, "first")
        assert (bucket / made.file).read_bytes() == (house.home / "backups" / made.file).read_bytes()


async def test_a_command_that_fails_is_said_and_the_backup_stays(tmp_path: Path) -> None:
    command = ["sh", "-c", 'test -r "$DG_BACKUP_FILE" && echo "no such bucket" >&2; exit 3']
    async with open_house(tmp_path / "home", command=command) as house:
        await house.configure()
        with pytest.raises(Unavailable, match="`sh` ended with code 3: no such bucket"):
            await house.core.backups.make(SYSTEM, STAGING, "first")
        (record,) = await house.backups()
        assert (house.home / "backups" / record.file).exists()
        (fact,) = await house.facts("backup.failed")
        assert "not taken elsewhere" in fact["reason"]


async def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    async with open_house(tmp_path / "home", command=["sleep", "100"], command_timeout=0.2) as house:
        await house.configure()
        with pytest.raises(Unavailable, match=r"did not end within 0\.2 seconds"):
            await house.core.backups.make(SYSTEM, STAGING, "first")


# --- tested ---------------------------------------------------------------------------------------


async def test_the_newest_backups_are_proved_and_nothing_of_that_stays(tmp_path: Path) -> None:
    async with open_house(
        tmp_path / "home", every=DAY, test_every=DAY, folder=str(tmp_path), what=["home", "staging"]
    ) as house:
        await house.configure()
        await house.configure(secrets={"session_key": "the-second-one"})
        await house.core.backups.make_due()
        await house.core.backups.test_newest()
        found = await house.backups()
        assert [each.problem for each in found] == [None, None]
        assert all(each.tested_at for each in found)
        places = [fact["backup"] for fact in await house.facts("backup.tested")]
        assert sorted(places) == sorted(each.place for each in found)
        assert list((house.home / "scratch").iterdir()) == []
        assert await house.sign() == "ok"


async def test_backups_of_a_folder_that_the_settings_named_before_are_found_there(tmp_path: Path) -> None:
    wanted: dict[str, Any] = {
        "every": DAY,
        "test_every": DAY,
        "keep_last": 1,
        "keep_daily": 0,
        "keep_weekly": 0,
    }
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    async with open_house(tmp_path / "home", folder=str(old), what=["staging"], **wanted) as house:
        await house.configure()
        await house.core.backups.make_due()
        (record,) = await house.backups()
    async with open_house(tmp_path / "home", folder=str(new), what=["staging"], **wanted) as house:
        await house.core.backups.test_newest()
        assert await house.facts("backup.test_failed") == []
        planned = await house.core.backups.preview(SYSTEM, STAGING, record.id)
        assert planned.changes == ()
        (old / record.file).rename(new / record.file)
        await house.core.backups.test_newest()
        (new / record.file).rename(old / record.file)
        assert await house.facts("backup.test_failed") == []
        await house.clock.advance(2 * DAY)
        await house.core.backups.make_due()
        (newer,) = await house.backups()
        assert [*old.iterdir(), *new.iterdir()] == [new / newer.file]
        (new / newer.file).unlink()
        await house.core.backups.test_newest()
        (fact,) = await house.facts("backup.test_failed")
        assert fact["reason"] == f"there is no backup {new / newer.file}"


@pytest.mark.parametrize("what", ["home", "staging"])
async def test_a_backup_that_does_not_restore_raises_an_event(tmp_path: Path, what: str) -> None:
    async with open_house(
        tmp_path / "home", every=DAY, test_every=DAY, folder=str(tmp_path), what=[what]
    ) as house:
        await house.configure()
        await house.core.backups.make_due()
        (record,) = await house.backups()
        path = tmp_path / record.file
        path.write_bytes(path.read_bytes()[:-3])
        await house.core.backups.test_newest()
        (fact,) = await house.facts("backup.test_failed")
        assert fact["backup"] == record.place
        assert "this backup cannot be used" in fact["reason"]
        (record,) = await house.backups()
        assert record.problem == fact["reason"]
        assert await house.sign() == "failed"
        assert list((house.home / "scratch").glob("*")) == []
        await house.clock.advance(DAY)
        await house.core.backups.make_due()
        assert await house.sign() == "failed"
        await house.core.backups.test_newest()
        assert await house.sign() == "ok"
        assert list((house.home / "scratch").iterdir()) == []


async def test_a_snapshot_that_is_not_what_it_says_is_refused(house: House) -> None:
    await house.configure()
    made = await house.core.backups.make(SYSTEM, STAGING, "first")
    path, identities = house.home / "backups" / made.file, house.core.backups._identities()
    manifest, snapshot = environment.read_snapshot(path, identities)
    for changed, said in (
        ({"counts": {"environment_versions": 7, "environment_secrets": 1}}, "not what its manifest says"),
        ({"environment": "production"}, "not what its manifest says"),
        ({"schema_": {"state": "9999"}}, "newer than this dg"),
    ):
        path.unlink()
        with archive.writing(path, [identities[0].recipient]) as writer:
            content = snapshot.model_dump_json().encode()
            writer.add(archive.ENVIRONMENT, io.BytesIO(content), len(content))
            text = manifest.model_copy(update=changed).model_dump_json(by_alias=True).encode()
            writer.add(archive.MANIFEST, io.BytesIO(text), len(text))
            writer.finish(lambda _: None)
        with pytest.raises((Invalid, Refused), match=said):
            environment.read_snapshot(path, identities)
