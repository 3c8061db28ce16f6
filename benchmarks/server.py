"""A real `dg serve` as a child process on a home of its own, with a real git repository to deploy from."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from benchmarks.processes import child, cpu_seconds, hear
from dg.client.app import Client
from dg.client.auth import find
from dg.client.sync import Blocking
from dg.core.deployments.models import CreateDeployment, Deployment, Progress, Status
from dg.core.types import Environment

SERVICE = "shop"
LIMITS = {f"DG_LIMITS__{name}": "1000000000/1s" for name in ("READ", "WRITE", "DEPLOY", "STREAM")}
"""Requests are counted as ever, and none is one too many."""
FILES = 50
FILE_BYTES = 4096

PIPELINE = """\
version = 1
service = {service}

[source]
git = {git}

[[step]]
name = "release"
phase = "deploy"
run = {run}
"""


@dataclass(frozen=True)
class Server:
    """A server that accepts requests, and the wall and CPU seconds from its start to its ready line."""

    pid: int
    host: str
    port: int
    token: str
    home: Path
    seconds_to_ready: float
    cpu_to_ready: float
    dg: Blocking

    def request(self, method: str, path: str, body: bytes = b"", *more: str) -> bytes:
        """The bytes of one authenticated HTTP request; `more` are whole header lines."""
        head = [
            f"{method} {path} HTTP/1.1",
            f"host: {self.host}:{self.port}",
            f"authorization: Bearer {self.token}",
            *more,
        ]
        if body:
            head += ["content-type: application/json", f"content-length: {len(body)}"]
        return "\r\n".join((*head, "", "")).encode("ascii") + body

    def get(self, path: str) -> str:
        """The body of one answer. Raises httpx.HTTPStatusError."""
        url = f"http://{self.host}:{self.port}{path}"
        return httpx.get(url, headers={"authorization": f"Bearer {self.token}"}).raise_for_status().text

    def register(self, repository: Path, run: Sequence[str]) -> None:
        """Make a pipeline of the one step `run` the service's."""
        values = {"service": SERVICE, "git": str(repository), "run": list(run)}
        text = PIPELINE.format(**{name: json.dumps(value) for name, value in values.items()})
        self.dg.run(self.dg.client.pipelines.register(text))

    def create(self, commit: str) -> Deployment:
        """Ask for a deployment of `commit` to development."""
        request = CreateDeployment(environment=Environment.DEVELOPMENT, service=SERVICE, commit_sha=commit)
        return self.dg.run(self.dg.client.deployments.create(request))

    def follow(self, deployment: Deployment, every: float = 0.05) -> Progress:
        """Wait for its end. Raises RuntimeError unless it succeeded."""
        *_, last = self.dg.each(self.dg.client.deployments.watch(deployment.id, every=every))
        if last.deployment.status is not Status.SUCCESS:
            raise RuntimeError(f"the deployment {last.deployment.status}: {last.deployment.message}")
        return last


@contextmanager
def serving(home: Path, variables: Mapping[str, str] = LIMITS) -> Iterator[Server]:
    """`dg serve` on `home`, which is made when it is not there; its messages stand in a file beside it."""
    with home.with_suffix(".log").open("ab") as messages:
        began = time.perf_counter()
        command = ("-m", "dg", "serve", "--home", str(home), "--port", "0", "--json")
        with child(command, messages, variables) as process:
            url = json.loads(hear(process))["ready"]
            seconds, cpu = time.perf_counter() - began, cpu_seconds(process.pid)
            parts = urlsplit(url)
            assert parts.hostname is not None
            assert parts.port is not None
            found = find({}, home)
            assert found.token is not None
            with Blocking(Client(url, found.token)) as dg:
                yield Server(process.pid, parts.hostname, parts.port, found.token, home, seconds, cpu, dg)


def make_repository(path: Path) -> str:
    """A repository of FILES files with one commit on `main`; returns the commit."""
    path.mkdir()
    for at in range(FILES):
        (path / f"file-{at:02}.txt").write_text(f"{at:<{FILE_BYTES - 1}}\n", "utf-8")
    git(path, "init", "--quiet", "--initial-branch=main")
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--message=The whole shop")
    return git(path, "rev-parse", "HEAD")


def git(folder: Path, *arguments: str) -> str:
    """Standard output of git in `folder`, without anyone's settings. Raises CalledProcessError."""
    return subprocess.run(
        ("git", *arguments),
        cwd=folder,
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{role}_NAME": "bench" for role in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{role}_EMAIL": "bench@bench.invalid" for role in ("AUTHOR", "COMMITTER")},
        },
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
