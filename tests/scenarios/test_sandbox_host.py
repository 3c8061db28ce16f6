"""A sandbox host takes what its token holder gives it, runs what answers, and never outlives its owner."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from dg.sandbox.host import ARCHIVE_BYTES, FILES, UNPACKED_BYTES, Refusal, unpack, version_label
from dg.sandbox.hosts import HOST

TOKEN = "open-sesame"

APP = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response({status})
        self.end_headers()
        self.wfile.write(("{version} " + os.environ.get("COLOUR", "-") + " " + self.path).encode())
    def log_message(self, *_):
        pass
print("pid", os.getpid(), flush=True)
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def archive(files: Mapping[str, str | bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in files.items():
            content = text if isinstance(text, bytes) else text.encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def release(version: str, status: int = 200, app: str = APP) -> bytes:
    named = app.replace("{status}", str(status)).replace("{version}", version)
    return archive({"shop.py": named, "release.json": json.dumps({"version": version})})


@dataclass
class Subject:
    """A host under test."""

    process: subprocess.Popen[bytes]
    folder: Path
    site: int
    agent: int

    def put(self, content: bytes, *, digest: str | None = None, token: str = TOKEN) -> tuple[int, Any]:
        name = digest or hashlib.sha256(content).hexdigest()
        return self.ask("PUT", f"/releases/{name}", content, {"Authorization": f"Bearer {token}"})

    def ask(
        self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, Any]:
        connection = HTTPConnection("127.0.0.1", self.agent, timeout=20)
        try:
            connection.request(method, path, content, dict(headers))
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def visit(self, path: str = "/") -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self.site, timeout=20)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def app_pid(self, version: str) -> int:
        return int((self.folder / f"{version}.log").read_text().split()[1])


@contextmanager
def running(folder: Path) -> Iterator[Subject]:
    with subprocess.Popen(
        (sys.executable, "-I", "-S", "-B", str(HOST), str(folder)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin
        assert process.stdout
        told = {"name": "staging", "token": TOKEN, "environ": {"COLOUR": "green"}}
        process.stdin.write(json.dumps(told).encode() + b"\n")
        process.stdin.flush()
        ports = json.loads(process.stdout.readline())
        yield Subject(process, folder, ports["site"], ports["agent"])


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Subject]:
    with running(tmp_path) as subject:
        yield subject


def eventually(true: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return subprocess.run(("ps", "-p", str(pid)), capture_output=True).returncode != 0


def test_site_says_that_nothing_is_deployed_yet(host: Subject) -> None:
    status, body = host.visit()
    assert (status, json.loads(body)["error"]) == (503, "nothing is deployed here yet")


def test_release_is_started_with_the_hosts_settings_and_answers_visitors(host: Subject) -> None:
    assert host.put(release("v1")) == (200, {"host": "staging", "version": "v1", "before": None})
    assert host.visit("/products?id=1") == (200, "v1 green /products?id=1")


def test_next_release_replaces_the_one_before_which_ends(host: Subject) -> None:
    host.put(release("v1"))
    before = host.app_pid("v1")
    assert host.put(release("v2")) == (200, {"host": "staging", "version": "v2", "before": "v1"})
    assert host.visit() == (200, "v2 green /")
    eventually(lambda: gone(before))


def test_same_release_may_come_again(host: Subject) -> None:
    host.put(release("v1"))
    assert host.put(release("v1")) == (200, {"host": "staging", "version": "v1", "before": "v1"})
    assert host.visit() == (200, "v1 green /")


def test_release_that_answers_badly_is_taken_for_others_judge_it(host: Subject) -> None:
    assert host.put(release("v1", status=500))[0] == 200
    assert host.visit() == (500, "v1 green /")


def test_release_that_does_not_start_leaves_the_one_before_running(host: Subject) -> None:
    host.put(release("v1"))
    status, answer = host.put(release("v2", app="raise SystemExit('no such table: products')"))
    assert status == 502
    assert answer == {"error": "v2 ended with exit code 1", "log": ["no such table: products"]}
    assert host.visit() == (200, "v1 green /")


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], "ünknown".encode().decode("latin-1")])
def test_stranger_is_turned_away(host: Subject, token: str) -> None:
    status, answer = host.put(release("v1"), token=token)
    assert (status, answer["error"]) == (401, "the token is not this host's")
    assert host.visit()[0] == 503


def test_archive_with_another_digest_is_refused(host: Subject) -> None:
    status, answer = host.put(release("v1"), digest="0" * 64)
    assert (status, answer["error"]) == (400, "the archive's SHA-256 is not the one in the path")


@pytest.mark.parametrize("path", ["/", "/releases/", "/releases/abc", "/releases/../../etc/passwd"])
def test_release_needs_a_path_with_its_digest(host: Subject, path: str) -> None:
    status, _ = host.ask("PUT", path, b"", {"Authorization": f"Bearer {TOKEN}"})
    assert status == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Length": str(ARCHIVE_BYTES + 1)}, 413),
        ({"Content-Length": "many"}, 411),
        ({"Transfer-Encoding": "chunked"}, 411),
    ],
)
def test_body_must_say_its_size_and_be_small(host: Subject, headers: dict[str, str], status: int) -> None:
    assert host.ask("PUT", f"/releases/{'0' * 64}", None, headers)[0] == status


@pytest.mark.parametrize("version", ["../../../evil", "a/b", "v1 \x1b[2J", ".hidden", ""])
def test_version_is_only_a_label(host: Subject, version: str) -> None:
    content = archive({"release.json": json.dumps({"version": version}), "shop.py": "raise SystemExit(1)"})
    assert host.put(content)[0] == 502
    logs = [path.name for path in host.folder.iterdir() if path.suffix == ".log"]
    assert logs == [f"{version_label(version)}.log"]


@pytest.mark.parametrize(
    "content",
    [b"", b"not gzip", archive({"shop.py": ""}), archive({"release.json": "[]"})],
    ids=["empty", "not gzip", "no release.json", "no object in it"],
)
def test_archive_that_is_no_release_is_refused(host: Subject, content: bytes) -> None:
    assert host.put(content)[0] == 400
    assert not [path for path in host.folder.iterdir() if path.name.startswith(".")]


def special(kind: bytes, name: str = "link", target: str = "/etc/passwd") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, target
        tar.addfile(entry)
    return packed.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        archive({"../outside": "x"}),
        archive({"a/../../outside": "x"}),
        archive({"/tmp/outside": "x"}),
        special(tarfile.SYMTYPE),
        special(tarfile.LNKTYPE),
        special(tarfile.FIFOTYPE),
        special(tarfile.CHRTYPE),
        archive({f"file{number}": "" for number in range(FILES + 1)}),
        archive({"zeros": bytes(UNPACKED_BYTES + 1)}),
        archive({"whole": "x" * 10_000})[:60],
    ],
    ids=["up", "inner up", "absolute", "symlink", "hard link", "fifo", "device", "many", "bomb", "cut"],
)
def test_nothing_but_a_bounded_number_of_files_below_the_folder_is_unpacked(
    tmp_path: Path, content: bytes
) -> None:
    with pytest.raises(Refusal):
        unpack(content, tmp_path / "release")
    assert {path.name for path in tmp_path.iterdir()} == {"release"}


def test_host_and_its_release_end_when_the_owner_is_gone(tmp_path: Path) -> None:
    with running(tmp_path) as host:
        host.put(release("v1"))
        app = host.app_pid("v1")
        assert host.process.stdin
        host.process.stdin.close()
        assert host.process.wait(10) == 0
        assert gone(app)
