"""`examples/podman-haproxy` with real containers, a real registry and a real haproxy, under load."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.examples.example import DEPLOY_SECONDS, EXAMPLES, adopt, deploy, logs
from tests.scenarios.house import House, free_port, report, until

pytestmark = pytest.mark.long

SEARCHED = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
NEEDED = ("podman", "haproxy", "socat", "curl", "busybox", "docker-registry")
CLIENTS = 4
CONTAINERFILE = """\
FROM scratch
COPY busybox /bin/busybox
"""
PODMAN = """\
#!/bin/sh
export CONTAINERS_REGISTRIES_CONF={folder}/registries.conf BUILDAH_ISOLATION=chroot
if [ "$1" = run ]; then
    shift
    set -- run --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 "$@"
fi
exec {podman} --root {folder}/root --runroot {folder}/runroot \\
    --storage-driver vfs --cgroup-manager cgroupfs --runtime {runtime} "$@"
"""
REGISTRY = """\
version: 0.1
storage: {{filesystem: {{rootdirectory: {folder}/registry}}}}
http: {{addr: "127.0.0.1:{port}"}}
log: {{level: error}}
"""


def program(name: str) -> str:
    found = shutil.which(name, path=SEARCHED)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@dataclass
class Podman:
    """A podman whose images and containers are all below one folder."""

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "bin" / "podman"

    def __call__(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [self.path, *arguments], capture_output=True, text=True, check=False, timeout=120
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def commits(self) -> dict[str, str]:
        """The running containers by name: the commit that each one runs."""
        found = json.loads(self("ps", "--format", "json"))
        return {each["Names"][0]: each["Labels"].get("commit", "") for each in found}


def start_podman(folder: Path, registry: str) -> Podman:
    """One that can run a container on this machine; skips where none can."""
    (folder / "bin").mkdir(parents=True)
    (folder / "registries.conf").write_text(f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n')
    (folder / "Containerfile").write_text(CONTAINERFILE)
    shutil.copy(program("busybox"), folder / "busybox")
    podman, said = Podman(folder), "neither crun nor runc is installed"
    for runtime in filter(None, (shutil.which(name, path=SEARCHED) for name in ("crun", "runc"))):
        podman.path.write_text(PODMAN.format(folder=folder, podman=program("podman"), runtime=runtime))
        podman.path.chmod(0o755)
        podman("build", "--quiet", "--tag", "probe", str(folder), check=False)
        hello = ("run", "--rm", "--network", "host", "probe", "/bin/busybox", "echo", "hello")
        done = subprocess.run([podman.path, *hello], capture_output=True, text=True, check=False, timeout=120)
        if done.stdout == "hello\n":
            return podman
        said = done.stderr.strip().splitlines()[-1]
    pytest.skip(f"podman cannot run a container here: {said}")


@contextmanager
def running(*argv: str, log: Path) -> Iterator[None]:
    """A daemon in the foreground, ended when the block is left."""
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=output)
    try:
        yield
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait(10)


def answers(port: int, path: str = "/") -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2):
        return True
    return False


@dataclass
class Place:
    """The one host: its podman, what users ask, and the dg that deploys to it."""

    house: House
    podman: Podman
    port: int

    def version(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/version", timeout=5) as answer:
            return str(answer.read().decode().strip())


@pytest.fixture
def short_path() -> Iterator[Path]:
    """podman takes no folder whose path is longer than 50 characters."""
    path = Path(tempfile.mkdtemp(prefix="dg-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def place(tmp_path: Path, short_path: Path) -> Iterator[Place]:
    for name in NEEDED:
        program(name)
    ports = {name: free_port() for name in ("registry", "web", "blue", "green")}
    registry = f"127.0.0.1:{ports['registry']}"
    podman = start_podman(short_path, registry)
    (tmp_path / "registry.yml").write_text(REGISTRY.format(folder=tmp_path, port=ports["registry"]))
    socket = tmp_path / "haproxy.sock"
    config = (EXAMPLES / "podman-haproxy" / "haproxy.cfg").read_text()
    for written, here in (
        ("/run/haproxy/web.sock", str(socket)),
        ("127.0.0.1:8080", f"127.0.0.1:{ports['web']}"),
        ("127.0.0.1:8081", f"127.0.0.1:{ports['blue']}"),
        ("127.0.0.1:8082", f"127.0.0.1:{ports['green']}"),
    ):
        assert config.count(written) == 1
        config = config.replace(written, here)
    (tmp_path / "haproxy.cfg").write_text(config)
    path = f"{podman.path.parent}:{SEARCHED}"
    house = House(tmp_path, {"PATH": path})
    try:
        with (
            running(
                program("docker-registry"), "serve", str(tmp_path / "registry.yml"), log=tmp_path / "reg.log"
            ),
            running(program("haproxy"), "-f", str(tmp_path / "haproxy.cfg"), log=tmp_path / "haproxy.log"),
        ):
            until(lambda: answers(ports["registry"], "/v2/"), "the registry")
            until(socket.exists, "haproxy")
            house.start()
            adopt(
                house,
                "podman-haproxy",
                image=f"{registry}/web",
                socket=str(socket),
                blue=f"127.0.0.1:{ports['blue']}",
                green=f"127.0.0.1:{ports['green']}",
                url=f"http://127.0.0.1:{ports['web']}",
            )
            own = EXAMPLES / "podman-haproxy" / "Containerfile"
            text = own.read_text().replace("FROM docker.io/library/busybox:1.36-musl\n", CONTAINERFILE)
            assert text.startswith("# A page")
            (house.repository.path / "Containerfile").write_text(text)
            shutil.copy(program("busybox"), house.repository.path / "busybox")
            yield Place(house, podman, ports["web"])
    finally:
        house.close()
        podman("rm", "--force", "--all", "--time", "0", check=False)


@dataclass
class Load:
    """Users that ask without a pause, half of them by connections that they keep."""

    port: int
    versions: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def ask(self, keep: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self.over.is_set():
            try:
                connection.request("GET", "/version")
                answer = connection.getresponse()
                said = answer.read().decode().strip()
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
                connection.close()
                continue
            if answer.status == 200:
                self.versions.append(said)
            else:
                self.errors.append(f"{answer.status} {said[:100]}")
            if not keep:
                connection.close()
            # As fast as the machine can would only measure the machine.
            self.over.wait(0.002)
        connection.close()


@contextmanager
def load(port: int) -> Iterator[Load]:
    users = Load(port)
    threads = [
        threading.Thread(target=users.ask, args=(number % 2 == 0,), daemon=True) for number in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield users
    finally:
        users.over.set()
        for thread in threads:
            thread.join()


def test_no_request_is_lost_while_versions_change_over_and_back(place: Place) -> None:
    house = place.house
    first = house.repository.commit("First")
    deployed = deploy(house)
    assert deployed["status"] == "success", logs(house, deployed["id"])
    assert place.version() == first
    assert place.podman.commits() == {"web-blue": first}

    with load(place.port) as users:
        second = house.repository.commit("Second")
        deployed = deploy(house)
        assert deployed["status"] == "success", logs(house, deployed["id"])
        assert place.podman.commits() == {"web-green": second}
        done = house.dg("rollback", "web", "--env", "production", "--yes", "--wait", seconds=DEPLOY_SECONDS)
        assert done.returncode == 0, done.stderr.decode()
        assert place.podman.commits() == {"web-blue": first}
        seen = len(users.versions)
        until(lambda: len(users.versions) > seen + 100, "a hundred answers more")
    assert users.errors == []
    assert set(users.versions) == {first, second}
    assert place.version() == first
    report(f"podman-haproxy: {len(users.versions)} requests over a deployment and a rollback, 0 errors")


def test_a_version_that_is_not_well_never_meets_a_user(place: Place) -> None:
    house = place.house
    first = house.repository.commit("First")
    assert deploy(house)["status"] == "success"
    with load(place.port) as users:
        (house.repository.path / "www" / "health").unlink()
        house.repository.commit("Without its health page")
        start = house.repository.path / "deploy" / "start"
        start.write_text(start.read_text().replace("wait_for 60", "wait_for 1"))
        house.repository.commit("Wait less")
        began = time.monotonic()
        failed = deploy(house)
        assert failed["status"] == "rolled_back"
        assert "waited 1 s for green to be well" in logs(house, failed["id"])
        report(f"podman-haproxy: an ill version was put away in {time.monotonic() - began:.1f} s")
    assert users.errors == []
    assert set(users.versions) == {first}
    assert set(place.podman.commits().values()) == {first}
