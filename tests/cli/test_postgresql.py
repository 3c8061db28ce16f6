"""What commands say about PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.test_backup import home
from tests.postgresql import Cluster
from tests.scenarios.house import free_port

from dg.cli.errors import ExitCode
from dg.cli.main import run
from dg.cli.surroundings import judged
from dg.core.probe import Look

__all__ = ["home"]

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def url(cluster: Cluster) -> Iterator[str]:
    """An empty database."""
    url = cluster.create()
    yield url
    cluster.drop(url)


def test_a_home_moves_and_the_way_on_is_said(home: Path, url: str, capsys: Captured) -> None:
    assert run(["migrate-to", url, "--home", str(home)]) == ExitCode.OK
    said = capsys.readouterr().out
    assert f"{home} is copied to the PostgreSQL database" in said
    assert "The ledger is whole there, up to entry 1." in said
    assert "set database.url in server.toml" in said
    assert run(["migrate-to", url, "--home", str(home)]) == ExitCode.REFUSED
    assert "is not empty" in capsys.readouterr().err


def test_what_was_moved_is_there_without_a_server(
    home: Path, url: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DG_DATABASE__URL", url)
    (home / "keys" / "issuer.pem").unlink()
    assert run(["migrate-to", "--home", str(home), "--json"]) == ExitCode.OK
    moved = json.loads(capsys.readouterr().out)
    assert moved["rows"]["ledger"] == moved["head"]["seq"] == 1
    assert run(["audit", "verify", "--home", str(home)]) == ExitCode.OK
    assert "1 entries, chain whole" in capsys.readouterr().out


def test_a_move_without_a_target_says_what_is_missing(home: Path, capsys: Captured) -> None:
    assert run(["migrate-to", "--home", str(home)]) == ExitCode.USAGE
    assert "say where to" in capsys.readouterr().err


def test_doctor_says_which_database_and_how_it_answers(
    tmp_path: Path, url: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DG_DATABASE__URL", url)
    assert run(["doctor", "--home", str(tmp_path), "--json"]) == ExitCode.FAILED
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    first, second = (line for line in found if line["name"] == "database")
    assert "(version 18." in first["message"]
    assert "answers in" in first["message"]
    assert (second["level"], "fsync = off" in second["message"]) == ("fail", True)


def test_doctor_says_that_a_database_is_not_there(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DG_DATABASE__URL", f"postgresql://dg:hunter2@127.0.0.1:{free_port()}/dg")
    assert run(["doctor", "--home", str(tmp_path)]) == ExitCode.FAILED
    said = capsys.readouterr().out
    assert "cannot be used" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("look", "levels"),
    [
        (Look("db", "18.6", 0.001, encrypted=True, durable=True, active="a:/b"), ["ok"]),
        (Look("db", "18.6", 0.1, encrypted=True, durable=True, active=None), ["warn"]),
        (Look("db", "18.6", 0.001, encrypted=False, durable=True, active=None), ["ok", "warn"]),
        (Look("db", "18.6", 0.001, encrypted=True, durable=False, active=None), ["ok", "fail"]),
    ],
)
def test_what_a_database_lacks_is_judged(look: Look, levels: list[str]) -> None:
    assert [finding.level for finding in judged(look)] == levels
    assert all(bool(finding.remedy) == (finding.level != "ok") for finding in judged(look))
