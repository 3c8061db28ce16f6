"""`dg keys`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dg.cli.errors import ExitCode
from dg.cli.main import run

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
