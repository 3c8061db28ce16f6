"""`dg keys`."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dg.cli.errors import ExitCode
from dg.cli.main import run
from dg.core.access.models import SYSTEM
from dg.core.app import open_core
from dg.core.environments.models import UpdateEnvironment
from dg.core.types import Environment
from dg.core.webhooks.models import CreateWebhook
from dg.settings import Settings

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DG_URL", "DG_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


def test_keys_are_rotated_and_checked_while_the_server_is_down(home: Path, capsys: Captured) -> None:
    assert run(["keys", "rotate", "--home", str(home), "--json"]) == ExitCode.OK
    assert run(["keys", "rewrap", "--home", str(home), "--json"]) == ExitCode.OK
    assert run(["keys", "check", "--home", str(home), "--json"]) == ExitCode.OK
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    key = {"key": str(home / "keys/envelope.key")}
    assert said == [
        {**key, "sealed": 0},
        {**key, "sealed": 0},
        {**key, "sealed": 0, "older": 0, "broken": [], "sealing_key": said[2]["sealing_key"]},
    ]
    assert re.fullmatch("[0-9a-f]{32}", said[2]["sealing_key"])
    assert len((home / "keys" / "envelope.key").read_text().split()) == 2


def test_a_home_gets_its_key_once(home: Path, capsys: Captured) -> None:
    assert run(["keys", "init", "--home", str(home)]) == ExitCode.OK
    file = home / "keys/envelope.key"
    said, key = capsys.readouterr(), file.read_text()
    assert str(file) in said.out
    assert key.strip() not in f"{said.out}{said.err}"
    assert run(["keys", "init", "--home", str(home)]) != ExitCode.OK
    assert "holds a key already" in capsys.readouterr().err
    assert file.read_text() == key


def test_a_new_key_for_a_vault_is_a_line_on_standard_output(capsys: Captured) -> None:
    keys = []
    for _ in range(2):
        assert run(["keys", "new"]) == ExitCode.OK
        keys.append(capsys.readouterr().out)
    assert len(set(keys)) == 2
    assert [len(bytes.fromhex(key)) for key in keys] == [32, 32]


def test_a_check_says_where_the_key_is(home: Path, capsys: Captured) -> None:
    chosen = ("--home", str(home))
    assert run(["keys", "check", *chosen]) == ExitCode.OK
    assert f"0 of them with an older key than the newest of {home}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["init", "check", "rotate", "rewrap"])
def test_keys_of_a_server_elsewhere_are_out_of_reach(home: Path, capsys: Captured, name: str) -> None:
    assert run(["keys", name, "--url", "http://127.0.0.1:9"]) == ExitCode.USAGE
    assert not home.exists()
    capsys.readouterr()


DYING = """
import os, signal, sys
from dg.cli.main import run
from dg.core import custody, keys, sealed
from dg.core.database import Database

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

match sys.argv[1]:
    case "with the key written":
        sealed.Keyring.rewrap = die
    case "before the key":
        custody._write = die
    case "half way":
        seal, count = keys.Envelope.seal, iter(range(99))
        keys.Envelope.seal = lambda *given: die() if next(count) == 3 else seal(*given)
    case "before the end":
        sealed.KeyringRotated = die
sys.exit(run(["keys", "rotate", "--home", sys.argv[2]]))
"""


@pytest.mark.long
@pytest.mark.parametrize("when", ["before the key", "with the key written", "half way", "before the end"])
def test_a_rotation_that_is_killed_leaves_everything_to_open_and_is_finished(
    home: Path, capsys: Captured, when: str
) -> None:
    async def fill() -> None:
        async with open_core(Settings(home=home), passive=True) as core:
            for name in Environment:
                wish = UpdateEnvironment(domain="a.example.com", config={}, secrets={"token": f"of {name}"})
                await core.environments.update(SYSTEM, name, wish)
            for number in range(4):
                await core.webhooks.create(SYSTEM, CreateWebhook(url=f"https://a.example.com/{number}"))

    def said(*command: str) -> dict[str, Any]:
        assert run(["keys", *command, "--home", str(home), "--json"]) == ExitCode.OK
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    asyncio.run(fill())
    said("check")
    whole = said("check")
    dead = subprocess.run([sys.executable, "-c", DYING, when, str(home)], check=False)
    assert dead.returncode == -signal.SIGKILL
    found = said("check")
    written = when != "before the key"
    assert (found["sealed"], found["broken"]) == (whole["sealed"], [])
    assert (found["older"] > 0) is written
    assert said("rewrap")["sealed"] == found["older"]
    assert said("check")["older"] == 0
    assert len((home / "keys" / "envelope.key").read_text().split()) == 1 + written

    async def opened() -> list[str]:
        async with open_core(Settings(home=home), passive=True) as core:
            db, vault = core.environments._db, core.environments._vault
            return await db.read(lambda tx: [vault.open(tx, name, "token", 1) for name in Environment])

    assert asyncio.run(opened()) == [f"of {name}" for name in Environment]
