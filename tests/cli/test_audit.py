"""`dg audit` as a witness: a record that was cut or written anew behind the server's back is told."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.conftest import ScriptedApi
from tests.client.servers import serving

from dg.cli.errors import ExitCode
from dg.cli.main import run
from dg.core.ledger import digest

Captured = pytest.CaptureFixture[str]
Damage = Callable[[sqlite3.Connection], None]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of this machine, which remembers what it sees."""
    for name in ("DG_URL", "DG_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("DG_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def cut(connection: sqlite3.Connection) -> None:
    """Remove all but the first two entries."""
    connection.execute("DELETE FROM ledger WHERE seq > 2")
    set_head(connection)


def write_anew(connection: sqlite3.Connection) -> None:
    """Change who did what is in entry 2, and make the whole chain fit again."""
    connection.execute("UPDATE ledger SET actor = 'nobody' WHERE seq = 2")
    prev = "0" * 64
    for row in connection.execute("SELECT * FROM ledger ORDER BY seq").fetchall():
        entry = dict(row) | {"prev": prev}
        prev = digest(entry)
        connection.execute(
            "UPDATE ledger SET prev = ?, hash = ? WHERE seq = ?", (entry["prev"], prev, row["seq"])
        )
    set_head(connection)


def set_head(connection: sqlite3.Connection) -> None:
    newest = "SELECT seq, hash FROM ledger ORDER BY seq DESC LIMIT 1"
    seq, hash_ = connection.execute(newest).fetchone()
    connection.execute("UPDATE ledger_head SET seq = ?, hash = ?", (seq, hash_))


def damage(home: Path, how: Damage) -> None:
    with closing(sqlite3.connect(home / "dg.db")) as connection:
        connection.row_factory = sqlite3.Row
        how(connection)
        connection.commit()


def make_history(home: Path) -> None:
    """Some entries, the last of which this machine has seen."""
    with serving(home):
        for number in range(4):
            made = ["token", "create", "--name", f"ci-{number}", "--role", "viewer"]
            assert run(made) == ExitCode.OK
        assert run(["audit", "verify"]) == ExitCode.OK


@pytest.mark.parametrize(("how", "sentence"), [(cut, "it was cut"), (write_anew, "it was written anew")])
def test_a_record_changed_while_the_server_was_down_is_told_by_every_command(
    home: Path, capsys: Captured, how: Damage, sentence: str
) -> None:
    make_history(home)
    damage(home, how)
    capsys.readouterr()
    assert run(["audit", "verify"]) == ExitCode.FAILED
    assert sentence in capsys.readouterr().out
    with serving(home):
        # The server is at another address now; it is known by its home.
        assert run(["audit", "verify"]) == ExitCode.FAILED
        said = capsys.readouterr()
        assert sentence in said.out
        assert "dg: warning: the ledger of http://127.0.0.1:" in said.err
        assert run(["--json", "audit", "accept"]) == ExitCode.OK
        accepted = json.loads(capsys.readouterr().out)
        assert run(["audit", "verify"]) == ExitCode.OK
        assert run(["status"]) == ExitCode.OK
        assert capsys.readouterr().err == ""
    assert accepted["seq"] >= 2
    assert run(["audit", "verify"]) == ExitCode.OK


def test_a_warning_stands_beside_the_answer(home: Path, capsys: Captured) -> None:
    make_history(home)
    damage(home, cut)
    with serving(home):
        capsys.readouterr()
        assert run(["--json", "status"]) == ExitCode.OK
        said = capsys.readouterr()
    assert json.loads(said.out)["lanes"] == []
    warning = json.loads(said.err)["warning"]
    assert (warning["reason"], "it was cut" in warning["message"]) == ("ledger", True)


def test_a_server_that_does_not_tell_of_the_entry_seen_last_is_not_believed(
    home: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_history(home)
    with serving(home):
        assert run(["audit", "verify"]) == ExitCode.OK
        monkeypatch.setattr("dg.client.ledger.read_head", lambda _: None)
        capsys.readouterr()
        assert run(["audit", "verify"]) == ExitCode.FAILED
    assert "does not say what became of the entry" in capsys.readouterr().out


def test_a_server_that_grew_is_well(home: Path, capsys: Captured) -> None:
    for _ in range(2):
        make_history(home)
    said = capsys.readouterr()
    assert "warning" not in said.err
    assert said.out.count("chain whole") == 2


def test_the_audit_log_says_who_from_where_and_why(api: ScriptedApi, capsys: Captured) -> None:
    entry = {
        "seq": 4711,
        "at": "2026-11-26T07:30:00Z",
        "type": "access.denied",
        "decision": "denied",
        "why": "lane:lock is not allowed by viewer",
        "actor": "x",
        "actor_name": "ana\x1b[31m",
        "method": "token",
        "address": "192.0.2.7",
        "request_id": "r-1",
        "action": "lane:lock",
        "object": "",
        "environment": "production",
        "service": "web",
        "count": 3,
    }
    api.on("GET /security/audit", {"items": [entry], "next_cursor": "4711"}, {"items": [{**entry, "seq": 1}]})
    assert run(["audit", "list", "--filter", "decision=denied"]) == ExitCode.OK
    first, second = capsys.readouterr().out.splitlines()
    assert first.split()[0] == "4711"
    assert "access.denied lane:lock x3 web/production by ana\u241b[31m (token, from 192.0.2.7)" in first
    assert second.split()[0] == "1"
    assert [asked.query.get("cursor") for asked in api.asked] == [None, "4711"]
    assert run(["audit", "list", "--limit", "1", "--json"]) == ExitCode.OK
    assert len(capsys.readouterr().out.splitlines()) == 1
