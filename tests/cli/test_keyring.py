"""`dg keys`."""

from __future__ import annotations

import json
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
    assert said == [{"sealed": 0}, {"sealed": 0}, {"sealed": 0, "older": 0, "broken": []}]
    assert len((home / "keys" / "envelope.key").read_text().split()) == 2


@pytest.mark.parametrize("name", ["check", "rotate", "rewrap"])
def test_keys_of_a_server_elsewhere_are_out_of_reach(home: Path, capsys: Captured, name: str) -> None:
    assert run(["keys", name, "--url", "http://127.0.0.1:9"]) == ExitCode.USAGE
    assert not home.exists()
    capsys.readouterr()
