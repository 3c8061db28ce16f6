"""`dg backup` and `dg restore`: what they print, and how they end."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from tests.cli.conftest import ScriptedApi
from tests.cli.test_environments import environment
from tests.core.backup.test_service import open_house

from dg.cli.errors import ExitCode
from dg.cli.main import run
from dg.core.access.models import SYSTEM
from dg.core.events import ServerStarted
from dg.core.testing import open_ground
from dg.core.types import Environment

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which a server had been started once; no server is up."""
    for name in ("DG_URL", "DG_TOKEN", "DG_HOME"):
        monkeypatch.delenv(name, raising=False)

    async def make() -> None:
        async with open_ground(tmp_path / "home") as ground:
            await ground.db.write(lambda tx: tx.append(ServerStarted(version="0.1.0"), by=SYSTEM))

    asyncio.run(make())
    (tmp_path / "home" / "keys" / "issuer.pem").write_text("a key")
    return tmp_path / "home"


def test_a_backup_is_made_and_restored_without_a_server(home: Path, tmp_path: Path, capsys: Captured) -> None:
    file, other, key = (
        str(tmp_path / "backup.dgb"),
        str(tmp_path / "other"),
        str(home / "keys" / "backup.key"),
    )
    assert run(["backup", file, "--home", str(home)]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "up to entry 1, 2026-" in said
    assert "without keys/issuer.pem" in said
    assert "keys and secrets are not in it" in said
    assert f"It opens with {key}: keep a copy" in said
    assert run(["restore", file, "--home", other]) == ExitCode.REFUSED
    assert "there is no key at hand: name the file" in capsys.readouterr().err
    assert run(["restore", file, "--home", other, "--key-file", key]) == ExitCode.OK
    said = capsys.readouterr().out
    assert f"{other} is restored" in said
    assert f"put yours into {other}/keys before the first start" in said
    assert run(["audit", "verify", "--home", other]) == ExitCode.OK
    assert "2 entries, chain whole" in capsys.readouterr().out


def test_a_backup_with_keys_says_how_dangerous_it_is(home: Path, tmp_path: Path, capsys: Captured) -> None:
    file, key = str(tmp_path / "backup.dgb"), str(home / "keys" / "backup.key")
    assert run(["backup", "--with-secrets", file, "--home", str(home)]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "whoever opens it can do what this server can" in said
    assert "keys/issuer.pem" in said
    assert run(["restore", file, "--home", str(tmp_path / "other"), "--key-file", key]) == ExitCode.OK
    assert "revoke them once more" in capsys.readouterr().out


def test_both_speak_json(home: Path, tmp_path: Path, capsys: Captured) -> None:
    file, other = tmp_path / "backup.tar.gz", tmp_path / "other"
    assert run(["--json", "backup", str(file), "--home", str(home)]) == ExitCode.OK
    made = json.loads(capsys.readouterr().out)
    assert (made["file"], made["bytes"], made["head"]["seq"]) == (str(file), file.stat().st_size, 1)
    key = ["--key-file", str(home / "keys" / "backup.key")]
    assert run(["--json", "restore", str(file), "--home", str(other), *key]) == ExitCode.OK
    found = json.loads(capsys.readouterr().out)
    assert (found["home"], found["interrupted"], found["unstarted"]) == (str(other), [], [])
    assert found["head"] == made["head"]


def test_a_backup_is_looked_into_verified_and_tried(home: Path, tmp_path: Path, capsys: Captured) -> None:
    file = str(tmp_path / "backup.dgb")
    assert run(["backup", "create", file, "--home", str(home)]) == ExitCode.OK
    capsys.readouterr()
    assert run(["backup", "show", file, "--home", str(home)]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "up to entry 1" in said
    assert re.search(r"key +[0-9a-f]{8}$", said, re.MULTILINE)
    assert re.search(r"ledger +1$", said, re.MULTILINE)
    assert run(["backup", "verify", file, "--home", str(home)]) == ExitCode.OK
    assert "2 files, all as they were written" in capsys.readouterr().out
    assert run(["backup", "test", file, "--home", str(home)]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "restores" in said
    assert "whole up to entry 1" in said
    assert list((home / "scratch").iterdir()) == []
    for command in ("show", "verify", "test"):
        assert run(["--json", "backup", command, file, "--home", str(home)]) == ExitCode.OK
        assert json.loads(capsys.readouterr().out)["head"]["seq"] == 1


@pytest.mark.parametrize("command", ["show", "verify", "test"])
def test_a_changed_backup_is_refused_by_every_command(
    home: Path, tmp_path: Path, capsys: Captured, command: str
) -> None:
    file = tmp_path / "backup.dgb"
    assert run(["backup", "create", str(file), "--home", str(home)]) == ExitCode.OK
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert run(["backup", command, str(file), "--home", str(home)]) == ExitCode.USAGE
    assert "was cut off or changed after it was written; take another one" in capsys.readouterr().err


def test_a_server_may_encrypt_for_a_key_that_it_does_not_have(
    home: Path, tmp_path: Path, capsys: Captured
) -> None:
    file, key = str(tmp_path / "backup.dgb"), tmp_path / "offline.key"
    assert run(["backup", "key", "--out", str(key), "--home", str(home)]) == ExitCode.OK
    public = capsys.readouterr().out.splitlines()[0]
    assert key.stat().st_mode & 0o777 == 0o600
    (home / "server.toml").write_text(f'[backup]\nrecipients = ["{public}"]\n')
    assert run(["backup", "create", file, "--home", str(home)]) == ExitCode.OK
    assert "It is encrypted for" in capsys.readouterr().out
    assert run(["backup", "key", "--home", str(home)]) == ExitCode.OK
    assert capsys.readouterr().out.startswith(public)
    assert not (home / "keys" / "backup.key").exists()
    assert run(["backup", "verify", file, "--home", str(home)]) == ExitCode.REFUSED
    capsys.readouterr()
    assert run(["backup", "verify", file, "--home", str(home), "--key-file", str(key)]) == ExitCode.OK
    assert run(["backup", "key", "--out", str(key), "--home", str(home)]) == ExitCode.REFUSED
    assert "exists already" in capsys.readouterr().err


def test_a_newcomer_sees_the_commands(capsys: Captured) -> None:
    for arguments in (["backup"], ["backup", "--help"]):
        run(arguments)
        said = "".join(capsys.readouterr())
        assert all(word in said for word in ("create", "show", "verify", "test", "restore", "key"))


def test_what_is_refused_is_refused_with_a_sentence(home: Path, tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "backup.tar.gz"
    file.write_bytes(b"something else")
    assert run(["backup", str(file), "--home", str(home)]) == ExitCode.REFUSED
    assert "exists already; choose another name" in capsys.readouterr().err
    assert run(["restore", str(file), "--home", str(tmp_path / "other")]) == ExitCode.USAGE
    assert "it does not begin as a backup of dg does; take another one" in capsys.readouterr().err
    file.unlink()
    assert run(["backup", str(file), "--home", str(home)]) == ExitCode.OK
    assert run(["restore", str(file), "--home", str(home)]) == ExitCode.REFUSED
    assert "is not empty, and a restore replaces nothing" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_server_elsewhere_is_not_meant(command: str, tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "file"
    file.touch()
    assert run([command, str(file), "--url", "http://127.0.0.1:1"]) == ExitCode.USAGE
    assert "on its own machine; leave --url out" in capsys.readouterr().err


# --- one environment ------------------------------------------------------------------------------

MADE = {
    "id": "before-the-move",
    "environment": "staging",
    "at": "2026-11-26T07:00:00Z",
    "by": "local",
    "by_name": "ana",
    "scheduled": False,
    "file": "dg-staging-before-the-move.dgb",
    "size": 3812,
    "sha256": "6b1f7a0c6c2ad5d1c8f2f1a3e9b07d54c1a9e6f0b3d24578a1c0de93f47b2e68",
    "head_seq": 4711,
    "version": 7,
    "keys": ["9f2c41aa"],
}


def test_the_server_is_asked_for_a_backup_of_one_environment(api: ScriptedApi, capsys: Captured) -> None:
    api.on("PUT /environments/staging/backups/before-the-move", MADE)
    api.on("GET /environments/staging/backups", {"items": []})
    asked = ["backup", "create", "--environment", "staging", "--name", "before-the-move"]
    assert run(asked) == ExitCode.OK
    said = capsys.readouterr().out
    assert "staging/before-the-move holds version 7" in said
    assert "dg backup restore before-the-move --environment staging" in said
    assert run([*asked, "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == MADE


def test_a_name_that_a_backup_has_already_makes_none(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /environments/staging/backups", {"items": [MADE]})
    asked = ["backup", "create", "--environment", "staging", "--name", "before-the-move"]
    assert run(asked) == ExitCode.REFUSED
    assert "staging/before-the-move is there already, and holds version 7" in capsys.readouterr().err
    assert not api.requests("PUT /environments/staging/backups/before-the-move")


def test_the_backups_of_a_server_are_listed_with_how_they_were_tried(
    api: ScriptedApi, capsys: Captured
) -> None:
    home = {key: value for key, value in MADE.items() if key not in {"environment", "version", "by_name"}}
    tried = {"scheduled": True, "tested_at": "2026-11-26T08:00:00Z"}
    broken = {**home, **tried, "problem": "it was cut off"}
    api.on("GET /backups", {"items": [MADE, {**home, **tried}, broken]})
    assert run(["backup", "list"]) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["OF", "NAME", "MADE", "BY", "SIZE", "RESTORES"]
    assert "not tried" in lines[1]
    assert lines[2].startswith("home")
    assert "schedule" in lines[2]
    assert "it was cut off" in lines[3]
    api.on("GET /environments/staging/backups", {"items": []})
    assert run(["backup", "list", "staging"]) == ExitCode.OK
    assert "keeps no backups" in capsys.readouterr().out


def test_an_environment_is_restored_after_its_difference_was_seen(api: ScriptedApi, capsys: Captured) -> None:
    shown = environment()
    changes = [{"key": "secrets.session_key", "before": {"type": "secret", "fingerprint": "9f2c41aa"}}]
    route = "PUT /environments/staging/restores/before-the-move"
    api.on("GET /environments/staging", shown)
    api.on(route, {**shown, "changes": changes}, {**shown, "version": 8})
    asked = ["backup", "restore", "before-the-move", "--environment", "staging"]
    assert run([*asked, "--dry-run"]) == ExitCode.OK
    assert "secrets.session_key" in capsys.readouterr().out
    assert [each.query for each in api.requests(route)] == [{"dry_run": "true"}]
    api.on(route, {**shown, "changes": changes}, {**shown, "version": 8})
    assert run(asked) == ExitCode.USAGE
    assert "say --yes" in capsys.readouterr().err
    api.on(route, {**shown, "changes": changes}, {**shown, "version": 8})
    assert run([*asked, "--yes", "--reason", "it failed"]) == ExitCode.OK
    said = capsys.readouterr()
    assert "secrets.session_key" in said.err
    assert "staging is at version 8, as in before-the-move" in said.out
    assert api.requests(route)[-1].body == {"reason": "it failed"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["create"],
        ["create", "--name", "x"],
        ["create", "file", "--environment", "staging"],
        ["create", "--with-secrets", "--environment", "staging"],
    ],
)
def test_what_fits_nothing_is_refused(arguments: list[str], capsys: Captured) -> None:
    assert run(["backup", *arguments]) == ExitCode.USAGE
    assert "FILE" in capsys.readouterr().err


def test_a_file_with_one_environment_goes_into_a_new_home(tmp_path: Path, capsys: Captured) -> None:
    async def make() -> Path:
        async with open_house(tmp_path / "old") as house:
            await house.configure()
            record = await house.core.backups.make(SYSTEM, Environment.STAGING, "first")
            return tmp_path / "old" / "backups" / record.file

    file = str(asyncio.run(make()))
    new, key = (
        ["--home", str(tmp_path / "new")],
        ["--key-file", str(tmp_path / "old" / "keys" / "backup.key")],
    )
    assert run(["backup", "show", file, *key, *new]) == ExitCode.OK
    assert "staging: configuration, secrets, history" in capsys.readouterr().out
    assert run(["backup", "test", file, *key, *new]) == ExitCode.OK
    assert "2 in 2 tables, as they were counted" in capsys.readouterr().out
    assert run(["restore", file, *key, *new, "--dry-run"]) == ExitCode.OK
    assert "secrets.session_key" in capsys.readouterr().out
    assert run(["restore", file, *key, *new, "--yes"]) == ExitCode.OK
    assert "staging is at version 1, as in dg-staging-first.dgb" in capsys.readouterr().out
    assert run(["restore", file, *key, *new, "--yes"]) == ExitCode.OK
    assert "staging is so already, at version 1" in capsys.readouterr().out


def test_an_environment_that_a_new_home_refuses_leaves_no_home(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def make() -> Path:
        async with open_house(tmp_path / "old", commands=1) as house:
            await house.configure(probes={"web": {"kind": "command", "service": "api", "run": ["true"]}})
            record = await house.core.backups.make(SYSTEM, Environment.STAGING, "first")
            return tmp_path / "old" / "backups" / record.file

    file = str(asyncio.run(make()))
    new, readied = tmp_path / "new", tmp_path / "readied"
    key = ["--key-file", str(tmp_path / "old" / "keys" / "backup.key")]
    readied.mkdir(mode=0o700)
    (readied / "server.toml").write_text("")
    for home in (new, readied):
        assert run(["restore", file, *key, "--home", str(home), "--yes"]) == ExitCode.USAGE
        assert "[probes] commands" in capsys.readouterr().err
    assert not new.exists()
    assert list(readied.rglob("*")) == [readied / "server.toml"]

    monkeypatch.setenv("DG_PROBES__COMMANDS", "1")
    assert run(["restore", file, *key, "--home", str(new), "--dry-run"]) == ExitCode.OK
    assert not new.exists()
    assert run(["restore", file, *key, "--home", str(new), "--yes"]) == ExitCode.OK
    monkeypatch.delenv("DG_PROBES__COMMANDS")
    assert run(["restore", file, *key, "--home", str(new), "--yes"]) == ExitCode.USAGE
    assert (new / "dg.db").exists()
