"""The command line against a real server, which it finds by itself, and on a home without one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.client.servers import PIPELINE, Server, make_repository, serving

from dg.cli.errors import ExitCode
from dg.cli.main import run
from dg.core.home import Home

Captured = pytest.CaptureFixture[str]
DG = [sys.executable, "-m", "dg"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("git") / "web")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server") / "home"


@pytest.fixture(scope="module")
def server(home: Path, repository: Path) -> Iterator[Server]:
    with serving(home) as server:
        pipeline = repository.parent / "dg.toml"
        pipeline.write_text(PIPELINE.format(repository=repository))
        with pytest.MonkeyPatch.context() as patch:
            for name in ("DG_URL", "DG_TOKEN"):
                patch.delenv(name, raising=False)
            assert run(["--home", str(home), "pipeline", "register", str(pipeline)]) == ExitCode.OK
        yield server


@pytest.fixture
def dg(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a command line on the server's machine, without being told where the server is."""
    for name in ("DG_URL", "DG_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DG_HOME", str(home))
    return lambda *arguments: run(arguments)


def wait_for(holds: Callable[[], bool], within: float = 20.0) -> None:
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.02)


def test_the_ready_line_says_where_it_is(server: Server, home: Path) -> None:
    assert server.ready.startswith("dg 0.1.0 ready on http://127.0.0.1:")
    assert str(home) in server.ready
    assert "dg token create" in server.ready
    assert (home / "server.json").stat().st_mode & 0o077 == 0


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="needs Linux's /proc")
def test_the_server_leaves_no_core_file(server: Server) -> None:
    limits = Path(f"/proc/{server.process.pid}/limits").read_text().splitlines()
    assert [line.split()[4:6] for line in limits if line.startswith("Max core file size")] == [["0", "0"]]


def test_a_home_that_was_named_is_meant_whatever_the_shell_is_set_up_for(
    server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DG_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("DG_TOKEN", "of.another.server")
    assert run(["--home", str(home), "status"]) == ExitCode.OK
    assert run(["status"]) == ExitCode.UNREACHABLE


def test_a_second_server_on_the_home_is_refused_with_a_sentence(server: Server, home: Path) -> None:
    done = subprocess.run(
        [*DG, "serve", "--home", home, "--port", "0"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (ExitCode.REFUSED, "")
    assert f"another dg server holds the home {home} (pid {server.process.pid}, {server.url})" in done.stderr


@pytest.mark.long
def test_an_address_that_is_taken_is_refused_with_a_sentence(server: Server, tmp_path: Path) -> None:
    port = server.url.rpartition(":")[2]
    command = [*DG, "serve", "--home", str(tmp_path / "other"), "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (ExitCode.REFUSED, "")
    assert f"port {port}: Address already in use; choose another with --host and --port" in done.stderr


def test_a_story_from_plan_to_rollback(dg: Callable[..., int], capsys: Captured) -> None:
    assert dg("pipeline", "plan", "web", "good", "--env", "development") == ExitCode.OK
    assert "release" in capsys.readouterr().out
    assert dg("deploy", "web", "good", "--env", "development", "--version", "v1", "--wait") == ExitCode.OK
    assert "web v1 runs in development" in capsys.readouterr().out
    assert dg("deploy", "web", "bad", "--env", "development", "--version", "v2", "--wait") == ExitCode.FAILED
    said = capsys.readouterr().out
    assert "↩ web v2 failed in development" in said
    assert "✓ web v1 runs again in development" in said
    assert dg("deploy", "web", "good", "--env", "development", "--wait") == ExitCode.REFUSED
    assert "dg lane unlock web development" in capsys.readouterr().err
    assert dg("lane", "unlock", "web", "development") == ExitCode.OK
    assert dg("status", "web") == ExitCode.OK
    assert dg("show", "latest") == ExitCode.OK
    assert dg("logs", "latest") == ExitCode.OK
    said = capsys.readouterr().out
    assert "rollback of" in said
    assert "released" in said
    assert dg("events", "--json", "--filter", "type=deployment.finished") == ExitCode.OK
    statuses = [json.loads(line)["payload"]["status"] for line in capsys.readouterr().out.splitlines()]
    assert statuses == ["success", "failed", "success"]
    assert dg("audit", "verify") == ExitCode.OK


def test_a_token_from_the_command_line_opens_what_its_role_opens(
    dg: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert (
        dg("token", "create", "--name", "watcher", "--role", "viewer", "--env", "staging", "--ttl", "1h")
        == ExitCode.OK
    )
    monkeypatch.setenv("DG_TOKEN", capsys.readouterr().out.strip())
    assert dg("status") == ExitCode.OK
    assert dg("deploy", "web", "good", "--env", "staging") == ExitCode.REFUSED
    assert "viewer" in capsys.readouterr().err


def test_ctrl_c_leaves_the_deployment_running_and_says_how_to_stop_it(
    dg: Callable[..., int], home: Path, capsys: Captured
) -> None:
    command = [*DG, "deploy", "web", "slow", "--env", "staging", "--wait"]
    # A shell that runs the tests in its background has them ignore ctrl-c, and what they start too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        watching = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert watching.stdout is not None
    lines = []
    for line in watching.stdout:
        lines.append(line)
        if "release running" in line:
            break
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=20)
    assert watching.returncode == ExitCode.INTERRUPTED, "".join((*lines, said))
    assert "goes on" in said
    deployment = said.split()[-1]
    capsys.readouterr()
    assert dg("show", deployment, "--json") == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["status"] == "deploying"
    assert dg("cancel", deployment, "--reason", "enough") == ExitCode.OK
    assert dg("logs", deployment, "-f") == ExitCode.OK
    capsys.readouterr()
    assert dg("show", deployment, "--json") == ExitCode.OK
    ended = json.loads(capsys.readouterr().out)
    assert (ended["status"], ended["reason"]) == ("failed", "cancelled")


def test_without_a_server_tokens_and_audit_work_on_the_home_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    for name in ("DG_URL", "DG_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    assert run(["--home", str(home), "audit", "verify"]) == ExitCode.REFUSED
    assert not home.exists()
    assert run(["--home", str(home), "token", "create", "--name", "first", "--role", "admin"]) == ExitCode.OK
    token = capsys.readouterr().out.strip()
    assert run(["--home", str(home), "audit", "verify"]) == ExitCode.OK
    assert run(["--home", str(home), "status"]) == ExitCode.UNREACHABLE
    assert "dg serve" in capsys.readouterr().err
    with serving(home) as server:
        assert "first token" not in server.ready
        monkeypatch.setenv("DG_TOKEN", token)
        assert run(["--url", server.url, "token", "list"]) == ExitCode.OK
        assert "first" in capsys.readouterr().out
        assert server.stop() == 0
    assert not (home / "server.json").exists()


def test_a_server_that_was_killed_is_said_to_have_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    for name in ("DG_URL", "DG_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with serving(tmp_path / "home") as server:
        server.process.kill()
        server.process.wait()
    assert run(["--home", str(tmp_path / "home"), "status"]) == ExitCode.UNREACHABLE
    assert "has stopped: start it with `dg serve`" in capsys.readouterr().err


@pytest.mark.long
def test_watching_goes_on_when_the_server_is_killed_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    repository = make_repository(tmp_path / "web")
    home = tmp_path / "home"
    monkeypatch.setenv("DG_HOME", str(home))
    for name in ("DG_URL", "DG_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "dg.toml").write_text(PIPELINE.format(repository=repository))
    with serving(home) as first:
        port = int(first.url.rpartition(":")[2])
        assert run(["pipeline", "register", str(tmp_path / "dg.toml")]) == ExitCode.OK
        watching = subprocess.Popen(
            [*DG, "deploy", "web", "slow", "--env", "production", "--wait"], stdout=subprocess.PIPE, text=True
        )
        assert watching.stdout is not None
        said = iter(watching.stdout.readline, "")
        assert any("release running" in line for line in said)
        first.stop(signal.SIGKILL)
    with serving(home, port):
        threading.Timer(0.5, (repository / "go").touch).start()
        rest = watching.stdout.read()
        watching.stdout.close()
        assert watching.wait(30) == ExitCode.OK
    assert "runs in production" in rest


@pytest.mark.long
def test_the_log_is_json_by_request_and_holds_no_secret(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "server.toml").write_text('[logging]\nformat = "json"\nrequests = true\n')
    canary = "hunter2canary"
    with serving(home) as server, httpx.Client(base_url=server.url) as client:
        token = Home(home).owner_token.read_text().strip()
        headers = {"authorization": f"Bearer {token}", "cookie": canary, "user-agent": canary}
        named = client.get("/v1/whoami", headers={**headers, "x-request-id": "of-a-test"})
        assert named.headers["x-request-id"] == "of-a-test"
        client.get(f"/v1/{canary}?{canary}={canary}")
        client.get("/v1/whoami", headers={"authorization": f"Bearer {canary}"})
        client.post("/v1/tokens", headers=headers, json={"name": "ci", "role": "viewer", "x": canary})
        issued = client.post("/v1/tokens", headers=headers, json={"name": "ci", "role": "viewer"})
        secret = issued.json()["secret"]
        server.stop()
    text = home.with_suffix(".err").read_text()
    assert not [word for word in (canary, token, secret) if word in text]
    lines = [json.loads(line) for line in text.splitlines()]
    requests = [line for line in lines if line["logger"] == "dg.requests"]
    assert [(line["route"], line["status"]) for line in requests] == [
        ("/v1/whoami", 200),
        ("-", 404),
        ("/v1/whoami", 401),
        ("/v1/tokens", 400),
        ("/v1/tokens", 201),
    ]
    assert requests[0]["request_id"] == "of-a-test"
    assert requests[0]["address"] == "127.0.0.1"
