"""`dg limits`."""

from __future__ import annotations

import json

import pytest
from tests.cli.conftest import ScriptedApi

from dg.cli.errors import ExitCode
from dg.cli.main import run

Captured = pytest.CaptureFixture[str]
ITEMS = [
    {"name": "read", "limit": 30000, "remaining": 29997, "reset": 1790000001, "window": "1m"},
    {"name": "deploy", "limit": 2000, "remaining": 0, "reset": 1790000061, "window": "1h"},
    {"name": "write", "limit": 6000, "remaining": 6000, "reset": 1790000000, "window": "1m"},
]


def test_it_says_what_is_left_and_when_nothing_is_spent(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /limits", {"items": ITEMS})
    assert run(["limits"]) == ExitCode.OK
    lines = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()[1:]]
    assert lines == [
        ["read", "29997", "30000 in 1m  2026-09-21 14:13:21 UTC"],
        ["deploy", "0", "2000 in 1h   2026-09-21 14:14:21 UTC"],
        ["write", "6000", "6000 in 1m   -"],
    ]


def test_json_is_what_the_server_says(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /limits", {"items": ITEMS})
    assert run(["--json", "limits"]) == ExitCode.OK
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ITEMS
