"""`dg config`: what is in force, where it came from, and no secret in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dg.cli.errors import ExitCode
from dg.cli.main import run


def test_show_prints_every_setting_with_its_origin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.joinpath("server.toml").write_text("[server]\nport = 8000\n")
    assert run(["config", "show", "--json", "--home", str(tmp_path)]) == 0
    shown = {line["setting"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert shown["home"] == {"setting": "home", "value": str(tmp_path), "origin": "flag"}
    assert shown["server.port"] == {"setting": "server.port", "value": "8000", "origin": "server.toml"}
    assert shown["logs.line_bytes"]["value"] == "16 KiB"


def test_show_masks_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DG_DATABASE__URL", "postgresql://dg:hunter2hunter2@db/dg")
    assert run(["--home", str(tmp_path), "config", "show"]) == 0
    text = capsys.readouterr().out
    assert "hunter2" not in text
    assert ["database.url", "***", "environment", "DG_DATABASE__URL"] in [
        line.split() for line in text.splitlines()
    ]


def test_every_setting_is_one_whole_row_of_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "reference"]) == 0
    tables = capsys.readouterr().out.partition("\n## ")[2].splitlines()[1:]
    rows = [line for line in tables if line and not line.startswith("## ")]
    assert [row for row in rows if not (row.startswith("| ") and row.endswith(" |"))] == []


def test_settings_that_cannot_be_used_end_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.joinpath("server.toml").write_text("[server]\nprot = 8000\n")
    assert run(["config", "show", "--home", str(tmp_path)]) == ExitCode.USAGE
    assert "did you mean server.port?" in capsys.readouterr().err
