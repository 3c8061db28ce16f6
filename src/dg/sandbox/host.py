"""One sandbox "host": takes releases from deployments, runs the newest one, and forwards its visitors to it.

A process of its own that `hosts.py` starts (`python -I host.py FOLDER`); standard library only. Its owner
writes one line of JSON to its standard input, `{"name", "token", "environ"}`, and keeps the pipe open: once
it closes, the host ends what it runs and exits. Its one line of output is `{"site": port, "agent": port}`.

The agent answers `PUT /releases/SHA256` (a tar.gz) with `{"host", "version", "before"}`, or with
`{"error", "log"}` and a 4xx or 502 while the release that ran before goes on running.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import io
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import NoReturn

ARCHIVE_BYTES = 4 << 20
UNPACKED_BYTES = 16 << 20
FILES = 200
START_SECONDS = 8.0
STOP_SECONDS = 2.0
LOG_LINES = 12
LOOPBACK = "127.0.0.1"


class Refusal(Exception):
    """What the host does not do: the HTTP status, one sentence, and the release's last log lines."""

    def __init__(self, status: HTTPStatus, message: str, log: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.log = log


def bad(message: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, message)


@dataclass
class Release:
    """A release's process and how many visitors it is answering."""

    version: str
    port: int
    process: subprocess.Popen[bytes]
    visitors: int = 0
    idle: threading.Event = field(default_factory=threading.Event)


class Host:
    """Keeps releases in `folder`, runs one of them and knows which."""

    def __init__(self, folder: Path, name: str, token: str, environ: dict[str, str]) -> None:
        self.name = name
        self._folder = folder
        self._token = token
        self._environ = environ
        self._switching = threading.Lock()
        self._counting = threading.Lock()
        self._current: Release | None = None
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def knows(self, authorization: str) -> bool:
        return hmac.compare_digest(authorization.encode(), f"Bearer {self._token}".encode())

    def accept(self, digest: str, archive: bytes) -> tuple[str, str | None]:
        """Start a release and switch to it; its version and the one that ran before. Raises Refusal."""
        if hashlib.sha256(archive).hexdigest() != digest:
            raise bad("the archive's SHA-256 is not the one in the path")
        with self._switching:
            if self._closed:
                raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the host is stopping")
            folder = self._unpacked(digest, archive)
            release = self._started(folder)
            with self._counting:
                before, self._current = self._current, release
        if before:
            threading.Thread(target=self._retire, args=(before,), name="retire").start()
        return release.version, before.version if before else None

    def enter(self) -> Release | None:
        """The release that answers one more visitor, who must `leave` it."""
        with self._counting:
            if self._current:
                self._current.visitors += 1
            return self._current

    def leave(self, release: Release) -> None:
        with self._counting:
            release.visitors -= 1
            if not release.visitors and release is not self._current:
                release.idle.set()

    def close(self) -> None:
        """End what runs; a release that is being started is ended too."""
        self._closed = True
        with self._switching:
            for process in tuple(self._processes):
                self._end(process)

    def _unpacked(self, digest: str, archive: bytes) -> Path:
        folder = self._folder / digest[:16]
        if not folder.exists():
            draft = self._folder / f".{folder.name}"
            shutil.rmtree(draft, ignore_errors=True)
            try:
                unpack(archive, draft)
                draft.rename(folder)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        return folder

    def _started(self, folder: Path) -> Release:
        try:
            version = str(json.loads((folder / "release.json").read_text("utf-8"))["version"])
        except (OSError, ValueError, KeyError, TypeError):
            raise bad("release.json with a version is missing") from None
        port = free_port()
        log = self._folder / f"{version_label(version)}.log"
        environ = {**self._environ, "PATH": os.environ.get("PATH", os.defpath), "PORT": str(port)}
        with log.open("ab") as output:
            process = subprocess.Popen(
                (sys.executable, "-u", "shop.py"), cwd=folder, env=environ,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        self._processes.add(process)
        if not answers(port, process, lambda: self._closed):
            code = process.poll()
            self._end(process)
            how = "did not answer in time" if code is None else f"ended with exit code {code}"
            raise Refusal(HTTPStatus.BAD_GATEWAY, f"{version} {how}", last_lines(log))
        return Release(version, port, process)

    def _retire(self, release: Release) -> None:
        with self._counting:
            if not release.visitors:
                release.idle.set()
        release.idle.wait(STOP_SECONDS)
        self._end(release.process)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._processes.discard(process)


def unpack(archive: bytes, folder: Path) -> None:
    """Write the regular files of a tar.gz below `folder`. Raises Refusal for anything else in it.

    Stricter than tarfile's own `data` filter, which the first releases of Python 3.11 do not have.
    """
    room = UNPACKED_BYTES
    folder.mkdir()
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            for count, member in enumerate(tar, 1):
                path = PurePosixPath(member.name)
                room -= member.size
                source = tar.extractfile(member) if member.isreg() else None
                if source is None or path.is_absolute() or ".." in path.parts:
                    raise bad(f"the archive holds {member.name!r}, which is not a file below it")
                if room < 0 or count > FILES:
                    raise bad("the archive unpacks to more than a host takes")
                target = folder.joinpath(*path.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read())
    except (tarfile.TarError, EOFError, OSError) as error:
        raise bad(f"the archive cannot be unpacked: {error}") from None


def version_label(version: str) -> str:
    """A version as a file name."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", version).lstrip(".")[:80] or "release"


def free_port() -> int:
    """A port that nobody listens on, below those that systems give to outgoing connections."""
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port


def answers(port: int, process: subprocess.Popen[bytes], given_up: Callable[[], bool]) -> bool:
    """True once `GET /health` is answered, with whatever status: others judge whether all is well."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None and not given_up():
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=1)
        try:
            connection.request("GET", "/health")
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
        else:
            return True
        finally:
            connection.close()
    return False


def last_lines(log: Path) -> tuple[str, ...]:
    return tuple(log.read_text("utf-8", "replace").splitlines()[-LOG_LINES:])


class Server(ThreadingHTTPServer):
    """Listens on a free loopback port, without asking a name server who that is."""

    daemon_threads = True

    def __init__(self, host: Host, handler: type[Handler]) -> None:
        self.host = host
        super().__init__((LOOPBACK, 0), handler)

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = LOOPBACK, self.server_address[1]


class Handler(BaseHTTPRequestHandler):
    """What agent and site share."""

    server: Server
    timeout = 10

    def reply(self, status: int, content: bytes, kind: str = "application/json") -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def refuse(self, refusal: Refusal) -> None:
        self.reply(refusal.status, json.dumps({"error": str(refusal), "log": refusal.log}).encode())


class Agent(Handler):
    """Takes releases from those who know the host's token."""

    def do_PUT(self) -> None:
        try:
            archive = self._body()
            if not self.server.host.knows(self.headers.get("Authorization", "")):
                raise Refusal(HTTPStatus.UNAUTHORIZED, "the token is not this host's")
            path = re.fullmatch(r"/releases/([0-9a-f]{64})", self.path)
            if not path:
                raise Refusal(HTTPStatus.NOT_FOUND, "releases are put to /releases/SHA256")
            version, before = self.server.host.accept(path[1], archive)
        except Refusal as refusal:
            self.refuse(refusal)
        else:
            answer = {"host": self.server.host.name, "version": version, "before": before}
            self.reply(HTTPStatus.OK, json.dumps(answer).encode())

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,12}", length):
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "the request must say its Content-Length")
        if int(length) > ARCHIVE_BYTES:
            raise Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"an archive has at most {ARCHIVE_BYTES} bytes"
            )
        return self.rfile.read(int(length))


class Site(Handler):
    """Forwards visitors to the release that runs now."""

    def do_GET(self) -> None:
        release = self.server.host.enter()
        if release is None:
            self.refuse(Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "nothing is deployed here yet"))
            return
        try:
            self._forward(release.port)
        except Refusal as refusal:
            self.refuse(refusal)
        finally:
            self.server.host.leave(release)

    def _forward(self, port: int) -> None:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
        try:
            connection.request("GET", self.path, headers={"X-Forwarded-For": self.client_address[0]})
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Refusal(HTTPStatus.BAD_GATEWAY, f"the release does not answer: {error}") from None
        finally:
            connection.close()
        self.reply(response.status, content, response.getheader("Content-Type", "application/octet-stream"))


def main() -> NoReturn:
    owner = sys.stdin.buffer
    told = json.loads(owner.readline())
    host = Host(Path(sys.argv[1]), told["name"], told["token"], told["environ"])
    servers = {"site": Server(host, Site), "agent": Server(host, Agent)}
    for name, server in servers.items():
        threading.Thread(target=server.serve_forever, args=(0.1,), name=name, daemon=True).start()
    print(json.dumps({name: server.server_port for name, server in servers.items()}), flush=True)  # noqa: T201
    owner.read()
    host.close()
    # Threads that still answer somebody must not keep the process.
    os._exit(0)


if __name__ == "__main__":
    main()
