"""`dg doctor`: each check says what is wrong and what to do."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from dg.cli import doctor
from dg.cli.doctor import Finding
from dg.cli.errors import ExitCode
from dg.cli.main import run
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
    ],
)
def test_a_check_knows_good_from_bad(finding: Finding, level: str) -> None:
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
