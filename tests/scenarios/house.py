"""A home with a real server as a process of its own, a real repository, and what tests do to them."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from dg.client.app import Client
from dg.core.deployments.models import CreateDeployment, Deployment
from dg.core.home import Home
from dg.runner import processes
from dg.sandbox.server import end_runners, environ

T = TypeVar("T")

SERVICE = "web"
STEPS = ("compile", "test", "migrate", "switch", "smoke")
START_SECONDS = 60.0
"""Longest wait for a server to be ready: a machine that runs other tests beside is slow."""

PIPELINE = """\
version = 1
service = "{service}"

[source]
git = "{repository}"
ref = "main"
trust = "any"

[defaults]
timeout = "60s"
grace = "200ms"
{steps}
[rollback]
auto = "verify_failed"
lock = {lock}
{environments}"""

STEP = """
[[step]]
name = "{name}"
phase = "{phase}"
{rest}
"""

SETTINGS = """
[env.{environment}]
settings = {{ python = {python}, journal = {journal} }}
"""


on_both_databases = pytest.mark.parametrize(
    "house", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True, scope="module"
)
"""Runs a module's tests in a house on each; on PostgreSQL in `bin/test --long` alone."""


def until(look: Callable[[], T | None], what: str, seconds: float = 30.0) -> T:
    """What `look` gives as soon as it is truthy. Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.005)
    return found


def step(name: str, phase: str, rest: str) -> str:
    """One step of a pipeline; `rest` is TOML such as `shell = "make"`."""
    return STEP.format(name=name, phase=phase, rest=rest)


def journalled(name: str, phase: str, seconds: float = 0.05, *more: str, rest: str = "") -> str:
    """A step that keeps the journal."""
    argv = ["{env.python}", "-ISB", "step.py", name, str(seconds), *more]
    return step(name, phase, f"run = {json.dumps(argv)}\n{rest}")


def usual_steps() -> str:
    """Two build, two deploy and a verify step; one of them leaves a process behind."""
    return "".join(
        (
            journalled("compile", "build"),
            journalled("test", "build"),
            journalled("migrate", "deploy"),
            journalled("switch", "deploy", 0.05, "daemon"),
            journalled("smoke", "verify"),
        )
    )


class Repository:
    """A git repository whose every commit is another version of the service."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        for program in Path(__file__).with_name("service").glob("*.py"):
            shutil.copy(program, path)
        self._git("init", "--quiet", "--initial-branch=main")
        self.commit("first")

    def commit(self, subject: str, **files: str) -> str:
        """A new commit on `main` with these files by name; its 40 hex digits."""
        for name, text in files.items():
            (self.path / name).write_text(text)
        self._git("add", ".")
        self._git("commit", "--quiet", "--allow-empty", "--message", subject)
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        who = ("-c", "user.name=dg", "-c", "user.email=dg@example.org")
        command = ("git", "-C", str(self.path), *who, *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class House:
    """One home, its repository and its server; `close` ends everything that came of them."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        around: Sequence[str] = (),
        database: str | None = None,
    ) -> None:
        """`around` is a command that runs the server as its child, as a container does; `database` is the URL
        of the PostgreSQL database with the state, if it is not in the home.
        """
        self.folder = folder
        self.home = Home(folder / "home")
        self.repository = Repository(folder / "service")
        self.journal = folder / "journal"
        self.database = database
        self.settings = {**(settings or {}), **({"DG_DATABASE__URL": database} if database else {})}
        self._around = tuple(around)
        self.deployments: set[str] = set()
        self._port = free_port()
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._server is not None
        return self._server.pid

    @property
    def errors(self) -> str:
        """What the servers of this home wrote to standard error."""
        return self._file("err").read_text("utf-8", "replace")

    def start(self) -> float:
        """Start the server; returns the seconds until it was ready."""
        began = time.monotonic()
        self.launch()
        until(self._is_ready, "the server to be ready", START_SECONDS)
        return time.monotonic() - began

    def launch(self) -> None:
        """Start the server and wait for nothing."""
        dg = (sys.executable, "-P", "-m", "dg", "--json", "serve", "--port", str(self._port))
        command = (*self._around, *dg)
        variables = environ(os.environ) | {"DG_HOME": str(self.home.path)} | self.settings
        with self._file("out").open("wb") as output, self._file("err").open("ab") as errors:
            self._server = subprocess.Popen(command, stdout=output, stderr=errors, env=variables)

    def _is_ready(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, f"the server ended: {self.errors[-2000:]}"
        return b'"ready"' in self.said()

    def said(self) -> bytes:
        """What the server that was started last wrote to standard output."""
        return self._file("out").read_bytes()

    def dies(self, seconds: float) -> bool:
        """Wait for the server to be killed by somebody else; False when it lives on."""
        assert self._server is not None
        try:
            code = self._server.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        assert code == -signal.SIGKILL, f"the server ended with {code}: {self.errors[-2000:]}"
        return True

    def stop(self) -> float:
        """As an upgrade does; returns the seconds until it was gone."""
        assert self._server is not None
        began = time.monotonic()
        self._server.terminate()
        self.leaves()
        return time.monotonic() - began

    def leaves(self) -> None:
        """Wait for the server to end by itself, in good order."""
        assert self.ends() == 0, self.errors[-2000:]

    def ends(self) -> int:
        """Wait for the server to end by itself; its exit code."""
        assert self._server is not None
        return self._server.wait(START_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        assert self._server is not None
        self._server.send_signal(number)

    def kill(self) -> None:
        """As by the out-of-memory killer."""
        assert self._server is not None
        self._server.kill()
        self._server.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def token(self) -> str:
        """The owner's."""
        return self.home.owner_token.read_text().strip()

    def client(self) -> Client:
        """Open with `async with`; the owner's."""
        return Client(self.url, self.token)

    async def deploy(self, dg: Client, wish: CreateDeployment) -> Deployment:
        """Ask for a deployment; what still runs of it when the house is closed is ended."""
        deployment = await dg.deployments.create(wish)
        self.deployments.add(deployment.id)
        return deployment

    def dg(
        self, *arguments: str, token: str | None = None, seconds: float = START_SECONDS
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the command line against this server, as a pipeline does; the owner's without a `token`."""
        variables = environ(os.environ) | {"DG_URL": self.url, "DG_TOKEN": token or self.token}
        command = (sys.executable, "-P", "-m", "dg", *arguments)
        return subprocess.run(command, capture_output=True, env=variables, timeout=seconds)

    def pipeline(self, steps: str, service: str = SERVICE, lock: str = "0") -> str:
        """A `dg.toml` of this repository."""
        environments = "".join(
            SETTINGS.format(
                environment=name, python=json.dumps(sys.executable), journal=json.dumps(str(self.journal))
            )
            for name in ("development", "staging", "production")
        )
        return PIPELINE.format(
            service=service,
            repository=self.repository.path,
            steps=steps,
            lock=lock,
            environments=environments,
        )

    def processes(self, deployment_id: str) -> list[int]:
        """What is alive of a deployment: its steps' processes by their tag, and its runner."""
        return sorted({*processes.tagged(deployment_id), *self.runner(deployment_id)})

    def runner(self, deployment_id: str) -> list[int]:
        """The process that runs a deployment; none before and after."""
        run = str(self.home.runs / deployment_id).encode()
        return [pid for pid in pids() if run in arguments(pid)]

    def close(self) -> None:
        if self._server is not None and self._server.poll() is None:
            self.kill()
        end_runners(self.home.lanes)
        for deployment_id in self.deployments:
            for pid in self.processes(deployment_id):
                processes.send(pid, signal.SIGKILL)

    def _file(self, name: str) -> Path:
        return self.folder / f"server.{name}"


def report(line: str) -> None:
    """A line of the record that a suite leaves (`pytest -rP`)."""
    sys.stdout.write(f"{line}\n")


def pids() -> list[int]:
    """Of every process on the machine."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def arguments(pid: int) -> list[bytes]:
    """The argv of a process; empty for one that is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def free_port() -> int:
    """A port below the ephemeral ones, so that the server finds it free again after a restart."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
