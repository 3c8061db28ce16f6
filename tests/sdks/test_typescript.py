"""The TypeScript SDK: compiles under strict rules, and does what it says against a real server."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.client.servers import PIPELINE, make_repository, serving

from dg.client.app import Client
from dg.client.auth import find
from dg.client.sync import Blocking

SDK = Path(__file__).parents[2] / "sdks/typescript"
TSC = SDK / "node_modules/.bin/tsc"

pytestmark = pytest.mark.skipif(
    not TSC.exists() or shutil.which("node") is None, reason="`npm ci --prefix sdks/typescript` was not run"
)


def run(*command: str | Path, **environ: str) -> None:
    done = subprocess.run(
        command,
        cwd=SDK,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_what_is_published_has_types_and_code(tmp_path: Path) -> None:
    run(TSC, "--project", "tsconfig.build.json", "--outDir", tmp_path)
    made = {file.name for file in tmp_path.iterdir()}
    assert {"index.js", "index.d.ts", "client.js", "client.d.ts"} <= made


@pytest.mark.long
def test_the_client_drives_a_real_server(tmp_path: Path) -> None:
    run(TSC, "--noEmit", "false", "--outDir", tmp_path / "build")
    (tmp_path / "build/package.json").write_text('{"type": "module"}')
    repository = make_repository(tmp_path / "web")
    with serving(tmp_path / "home") as server:
        found = find({}, tmp_path / "home")
        assert found.token is not None
        with Blocking(Client(found.url, found.token)) as dg:
            dg.run(dg.client.pipelines.register(PIPELINE.format(repository=repository)))
        tests = sorted((tmp_path / "build/test").glob("*.test.js"))
        run("node", *websocket(), "--test", *tests, DG_URL=server.url, DG_TOKEN=found.token)


def websocket() -> list[str]:
    """What gives this Node a WebSocket of its own."""
    asked = subprocess.run(
        ["node", "--print", "typeof WebSocket"], capture_output=True, text=True, timeout=60, check=True
    )
    return [] if asked.stdout.strip() == "function" else ["--experimental-websocket"]
