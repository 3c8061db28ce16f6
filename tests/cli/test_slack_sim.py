"""`dg slack-sim` as a process: what it prints, how it ends, what it says when it cannot start."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from dg.cli.errors import ExitCode
from dg.cli.main import run

ENDED_WITHIN = 30.0


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "dg", "slack-sim", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> tuple[int, str]:
    """How a process ended, and what it said of that."""
    _, errors = process.communicate(timeout=ENDED_WITHIN)
    return process.returncode, errors


def test_it_is_a_slack_until_it_is_told_to_stop(tmp_path: Path) -> None:
    world = tmp_path / "world.toml"
    world.write_text("[team]\nid = 'T0ACME'\nname = 'Acme'\ndomain = 'acme'\n")
    with started("--port", "0", "--json", "--world", str(world)) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        bearer = {"Authorization": f"Bearer {ready['bot_token']}"}
        answer = httpx.post(f"{ready['api_url']}auth.test", headers=bearer).json()
        assert (answer["ok"], answer["team_id"]) == (True, "T0ACME")
        assert httpx.get(f"{ready['ready']}/sim/state").json()["transport"] == "socket"

        port = ready["ready"].rpartition(":")[2]
        with started("--port", port) as second:
            code, errors = said(second)
        assert code != ExitCode.OK
        assert f"port {port} cannot be listened on" in errors

        process.send_signal(signal.SIGTERM)
        assert said(process) == (ExitCode.OK, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--world", "none.toml"), "none.toml cannot be read"),
        (("--request-url", "ftp://x.example"), "--request-url must be an http or https address"),
        (("--limits", "-1"), "--limits"),
    ],
)
def test_what_it_cannot_be_started_with_is_said(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert run(["slack-sim", "--port", "0", *arguments]) == ExitCode.USAGE
    assert words in capsys.readouterr().err
