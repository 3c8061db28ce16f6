"""A real `dg serve` as a process of its own, and a real repository for it to deploy."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

READY_WITHIN = 30.0
STOPPED_WITHIN = 20.0

PIPELINE = """\
version = 1
service = "web"

[source]
git = "{repository}"
ref = "main"

[[step]]
name = "pack"
phase = "build"
run = ["sh", "-c", "echo packing $DG_VERSION"]

[[step]]
name = "release"
phase = "deploy"
run = ["sh", "-c", "test ! -e slow || until test -e {repository}/go; do sleep 0.02; done; echo released"]
timeout = "30s"

[[step]]
name = "smoke"
phase = "verify"
run = ["sh", "-c", "test ! -e bad"]
"""


@dataclass
class Server:
    """A server that printed its ready line."""

    process: subprocess.Popen[str]
    ready: str

    @property
    def url(self) -> str:
        return self.ready.partition(" on ")[2].split()[0]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it and give its exit code."""
        self.process.send_signal(how)
        return self.process.wait(STOPPED_WITHIN)


@contextmanager
def serving(home: Path, port: int = 0, *, files: int | None = None) -> Iterator[Server]:
    """A server on this home, ended when the block is left; it may open so many `files`."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DG_")}
    command = [sys.executable, "-m", "dg", "serve", "--home", str(home), "--port", str(port)]
    with (home.parent / f"{home.name}.err").open("a") as errors:
        process = subprocess.Popen(
            command if files is None else ["prlimit", f"--nofile={files}:{files}", *command],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environ,
        )
    try:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], READY_WITHIN)
        assert readable, "the server is not ready in time"
        yield Server(process, process.stdout.readline())
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(STOPPED_WITHIN)
        if process.stdout is not None:
            process.stdout.close()


def make_repository(folder: Path) -> Path:
    """Three tagged commits: `good`, `bad` whose smoke test fails, `slow` which waits for the file `go`."""
    folder.mkdir()
    git(folder, "init", "--initial-branch", "main")
    for name in ("good", "bad", "slow"):
        for other in ("bad", "slow"):
            (folder / other).unlink(missing_ok=True)
        (folder / name).write_text(name)
        git(folder, "add", "--all")
        git(folder, "commit", "--message", f"Make it {name}")
        git(folder, "tag", name)
    return folder


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=Ana", "-c", "user.email=ana@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)
