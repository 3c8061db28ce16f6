"""`dg doctor`: each check says what is wrong and what to do."""

from __future__ import annotations

import json
import resource
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dg.cli import doctor, surroundings
from dg.cli.errors import ExitCode
from dg.cli.finding import Finding
from dg.cli.main import run
from dg.core.backup.encryption import Identity
from dg.core.keys import fresh
from dg.core.testing import make_home
from dg.runner.processes import capabilities
from dg.settings import Settings


def levels(home: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in doctor.home(home):
        found.setdefault(finding.name, []).append(finding.level)
    return found


def test_doctor_passes_on_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json", "--home", str(tmp_path / "new")]) == ExitCode.OK
    found = {line["name"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert {"python", "sqlite", "git", "clock", "umask", "open files", "home", "disk", "settings"} <= set(
        found
    )
    assert found["home"]["message"] == f"{tmp_path / 'new'} will be made at the first start"


def test_doctor_says_what_is_wrong_and_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.joinpath("server.toml").write_text("[servr]\nport = 1\n")
    assert run(["doctor", "--home", str(tmp_path)]) == ExitCode.FAILED
    text = capsys.readouterr().out
    assert "✗ fail settings" in text
    assert "did you mean server.port?" in text
    assert "correct what is named" in text


@pytest.mark.parametrize("command", [("doctor",), ("config", "show")])
def test_demands_that_would_stop_the_server_are_found_before(
    command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demands = "[environments.production]\napprovals = { counts = 2 }\n"
    tmp_path.joinpath("server.toml").write_text(demands)
    assert run([*command, "--home", str(tmp_path)]) != ExitCode.OK
    said = capsys.readouterr()
    assert "environments.production.approvals.counts" in said.out + said.err


@pytest.mark.parametrize(
    ("finding", "level"),
    [
        (doctor.python((3, 10, 9)), "fail"),
        (doctor.python((3, 11, 0)), "ok"),
        (doctor.sqlite((3, 51, 2)), "warn"),
        (doctor.sqlite((3, 51, 3)), "ok"),
        (doctor.git(None), "fail"),
        (doctor.git(""), "fail"),
        (doctor.git("git version 2.31.4\n"), "fail"),
        (doctor.git("git version 2.39.5 (Apple Git-154)\n"), "ok"),
        (doctor.clock(1_000_000, 1_000_000.0), "fail"),
        (doctor.clock(1_790_000_000_000_000, 1_789_999_999.0), "ok"),
        (doctor.umask(0o022), "ok"),
        (doctor.umask(0o002), "warn"),
        (doctor.files(1024, 2000), "warn"),
        (doctor.files(4096, 2000), "ok"),
        (doctor.files(resource.RLIM_INFINITY, 2000), "ok"),
        (doctor.disk(50 << 20), "fail"),
        (doctor.disk(500 << 20), "warn"),
        (doctor.disk(5 << 30), "ok"),
        (doctor.inodes(1 << 20, 1000), "fail"),
        (doctor.inodes(1 << 20, 10_000), "warn"),
        (doctor.inodes(1 << 20, 900_000), "ok"),
        (doctor.inodes(0, 0), "ok"),
        (surroundings.synchronised(5), "warn"),
        (surroundings.synchronised(None), "warn"),
        (surroundings.synchronised(0), "ok"),
        (surroundings.not_before(1_000_000_000, 900_000_000), "fail"),
        (surroundings.not_before(1_000_000_000, 999_000_000), "ok"),
        (surroundings.container(None), "warn"),
        (surroundings.container(3600.0), "ok"),
    ],
)
def test_a_check_knows_good_from_bad(finding: Finding, level: str) -> None:
    assert finding.level == level
    assert bool(finding.remedy) == (level != "ok")


@pytest.mark.parametrize(
    ("finding", "level"),
    [
        (doctor.limits(frozenset({"cpu", "memory", "pids"})), "ok"),
        (doctor.limits(frozenset({"cpu"})), "warn"),
        (doctor.user("nobody", possible=True), "ok"),
        (doctor.user("nobody", possible=False), "warn"),
        (doctor.user("root", possible=True), "fail"),
        (doctor.user("no-such-user", possible=True), "fail"),
    ],
)
def test_what_a_step_may_use_is_examined(finding: Finding, level: str) -> None:
    assert finding.level == level
    assert bool(finding.remedy) == (level != "ok")


def test_missing_capabilities_are_named_with_what_is_lost() -> None:
    found = list(doctor.runner({"prctl": True, "proc": False, "novel": False}))
    assert [finding.level for finding in found] == ["ok", "warn", "warn"]
    assert "escape" in found[1].message


def test_every_capability_of_the_runner_is_explained() -> None:
    assert set(capabilities()) == set(doctor.CAPABILITIES)


def test_a_home_that_others_can_read_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert levels(tmp_path)["home"] == ["warn"]
    tmp_path.chmod(0o700)
    assert levels(tmp_path)["home"] == ["ok"]
    secrets = tmp_path / "secrets.toml"
    secrets.touch()
    secrets.chmod(0o640)
    assert levels(tmp_path)["home"] == ["ok", "fail"]


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert levels(file)["home"] == ["fail"]


def test_doctor_tries_what_private_repositories_are_read_with(tmp_path: Path) -> None:
    tmp_path.joinpath("token").write_text("a-good-token")
    tmp_path.joinpath("token").chmod(0o600)
    sources = {
        "https://git.example.com/": {"token_file": "token"},
        "git@git.example.com:": {"ssh_key": "missing", "known_hosts": "token"},
    }
    settings = Settings.model_validate({"home": tmp_path, "git": {"sources": sources}})
    good, bad = sorted(doctor.sources(settings, {}), key=lambda finding: finding.level, reverse=True)
    assert (good.level, bad.level) == ("ok", "fail")
    assert "https://git.example.com/ can be used" in good.message
    assert "cannot read its ssh_key" in bad.message
    beyond = {"https://h/a/../b": {"token_file": "token"}}
    settings = Settings.model_validate({"home": tmp_path, "git": {"sources": beyond}})
    (odd,) = doctor.sources(settings, {})
    assert "cannot be the beginning of an address" in odd.message


GOOD = {
    "LoadState": "loaded",
    "KillMode": "process",
    "OOMPolicy": "continue",
    "PrivateTmp": "no",
    "ProtectProc": "default",
    "TimeoutStopUSec": "30s",
}


@pytest.mark.parametrize(
    ("changed", "drain", "levels", "said"),
    [
        ({}, None, ["ok"], "deployments survive"),
        ({"KillMode": "control-group"}, None, ["fail"], "a stop of the server kills running deployments"),
        ({"KillMode": "mixed"}, None, ["fail"], "KillMode=mixed"),
        ({"OOMPolicy": "stop"}, None, ["ok", "warn"], "takes the server"),
        ({"PrivateTmp": "yes"}, None, ["ok", "warn"], "takes /tmp"),
        ({"TimeoutStopUSec": "5s"}, None, ["ok", "warn"], "the server is killed while it stops"),
        ({"TimeoutStopUSec": "1min 30s"}, 3600.0, ["ok", "warn"], "for which it has 3605 s"),
        ({"TimeoutStopUSec": "infinity"}, 3600.0, ["ok"], "deployments survive"),
    ],
)
def test_a_unit_that_kills_deployments_is_named(
    changed: dict[str, str], drain: float | None, levels: list[str], said: str
) -> None:
    found = list(surroundings.unit(GOOD | changed, 5.0, drain))
    assert [finding.level for finding in found] == levels
    assert any(said in finding.message for finding in found)
    assert all(finding.remedy for finding in found if finding.level != "ok")


@pytest.mark.parametrize(
    ("groups", "name"),
    [
        ("0::/system.slice/dg.service\n", "dg.service"),
        ("1:name=systemd:/system.slice/deploy.service\n0::/\n", "deploy.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/dg.service\n", "dg.service"),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", None),
    ],
)
def test_the_unit_is_found_by_the_server_s_cgroup(groups: str, name: str | None) -> None:
    assert surroundings.unit_in(groups) == name


def test_systemd_s_time_spans_are_understood() -> None:
    spans = ("5s", "1min 30s", "1h 5min", "500ms", "infinity")
    assert [surroundings.seconds(span) for span in spans] == [5.0, 90.0, 3900.0, 0.5, None]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"database": {"busy_timeout": "10s"}}, "health.writes_stalled"),
        ({"api": {"stream_heartbeat": "2m"}}, "api.stream_heartbeat"),
        ({"server": {"header_timeout": "2m"}}, "server.idle_timeout"),
    ],
)
def test_time_outs_that_contradict_each_other_are_named(
    tmp_path: Path, settings: dict[str, object], said: str
) -> None:
    (finding,) = surroundings.timeouts(Settings.model_validate({"home": tmp_path, **settings}))
    assert finding.level == "warn"
    assert said in finding.remedy


def test_the_usual_time_outs_agree(tmp_path: Path) -> None:
    (finding,) = surroundings.timeouts(Settings(home=tmp_path))
    assert finding.level == "ok"


def test_a_clock_behind_the_ledger_is_named(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    assert surroundings.newest_event(home.state) is None
    with closing(sqlite3.connect(home.state, isolation_level=None)) as database:
        columns = {row[1]: row[2] for row in database.execute("PRAGMA table_info(ledger)").fetchall()}
        values = {name: 0 if "INT" in kind else "x" for name, kind in columns.items()} | {
            "seq": 1,
            "at": 5_000,
        }
        marks = ", ".join("?" * len(values))
        row = f"INSERT INTO ledger ({', '.join(values)}) VALUES ({marks})"  # noqa: S608
        database.execute(row, list(values.values()))
    assert surroundings.newest_event(home.state) == 5_000
    assert [finding.name for finding in surroundings.clock(home.path, 6_000)] == ["time service", "history"]
    assert surroundings.newest_event(tmp_path / "none" / "state.db") is None


def test_the_kernel_says_whether_the_clock_is_kept() -> None:
    assert surroundings.clock_state() in range(6)


def test_a_webhook_whose_secret_cannot_be_used_is_found(tmp_path: Path) -> None:
    sources = {
        "forge": {"kind": "generic", "secret_env": "FORGE"},
        "github": {"kind": "github", "secret_file": "github.secret"},
    }
    settings = Settings.model_validate({"home": tmp_path, "incoming": {"sources": sources}})
    good, bad = doctor.incoming(settings, {"FORGE": "a secret that is long enough"})
    assert (good.level, bad.level) == ("ok", "fail")
    assert "/v1/incoming-webhooks/forge" in good.message
    assert "[incoming.sources.github] cannot read its secret_file" in bad.message
    (tmp_path / "github.secret").write_text("short")
    (tmp_path / "github.secret").chmod(0o600)
    short = list(doctor.incoming(settings, {}))[1]
    assert "at least 16 characters" in short.message


def test_the_key_that_seals_secrets_is_tried(tmp_path: Path) -> None:
    def found(**server: bool) -> Finding:
        settings = {"home": tmp_path, "keys": {"file": "the.key"}, "server": server}
        return doctor.key(Settings.model_validate(settings), {})

    assert found() == Finding("key", "ok", f"{tmp_path}/the.key will be made at the first start")
    assert (found(production=True).level, found(production=True).remedy) == ("fail", "see docs/keys.md")
    assert not (tmp_path / "the.key").exists()
    (tmp_path / "the.key").write_text(fresh())
    assert "others may read it" in found().message
    (tmp_path / "the.key").chmod(0o600)
    assert found(production=True).level == "ok"


# --- backups ---------------------------------------------------------------------------------------


def backups(home: Path, now: int = 0, **settings: object) -> list[tuple[str, str]]:
    found = Settings.model_validate({"home": home, "backup": settings})
    return [(each.level, each.message) for each in surroundings.backups(found, now)]


def test_backups_that_cannot_be_made_or_tried_are_found(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "folder"
    home.mkdir(mode=0o700)
    assert backups(home)[0][0] == "ok"
    assert "five fields" in backups(home, at="every night")[0][1]
    assert "backup.recipients" in backups(home, every=60, recipients=["x"])[0][1]
    assert "no folder to write to" in backups(home, every=60, folder=str(folder))[0][1]
    folder.mkdir()
    inside = backups(home, every=60, folder=str(home))
    assert [level for level, _ in inside] == ["fail"]
    assert f"backups of the home in {home} would be lost with it" in inside[0][1]
    public = str(Identity.make().recipient)
    untested = backups(home, every=60, folder=str(folder), recipients=[public], test_every=60)
    assert untested == [("fail", "no key opens them, so none can be tested"), ("warn", "none of home yet")]


def test_backups_that_are_late_are_found(tmp_path: Path) -> None:
    made = tmp_path / "dg-home-20261126-023000-041.dgb"
    made.touch()
    then = int(made.stat().st_mtime * 1e6)
    hour = 3600 * 1_000_000
    assert backups(tmp_path / "home", then + hour, every=60, folder=str(tmp_path))[0][0] == "ok"
    level, message = backups(tmp_path / "home", then + 2 * hour, every=60, folder=str(tmp_path))[0]
    assert level == "warn"
    assert "and another was due" in message
