"""`examples/ssh-releases` on three real sshd: switched together, and together put back."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.examples.example import adopt, deploy, logs
from tests.scenarios.house import House
from tests.sshd import Sshd, make_key, needs_sshd, sshd

pytestmark = [pytest.mark.long, needs_sshd]

HOSTS = ("web1", "web2", "web3")
HOST = """
Host {name}
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {key}
    IdentitiesOnly yes
    UserKnownHostsFile {known_hosts}
"""
LOGIN = """\
#!/bin/sh
cd {home} && HOME={home} && export HOME && exec sh -c "$SSH_ORIGINAL_COMMAND"
"""
ACTIVATE = """\
#!/bin/sh
test -e "$HOME/runtime-3" || { echo "runtime 3 is not installed on this host" >&2; exit 1; }
"""


@dataclass
class Web:
    """A host: what one logs in to, and the web server on what is live there."""

    sshd: Sshd
    home: Path
    server: ThreadingHTTPServer

    @property
    def releases(self) -> set[str]:
        return {path.name for path in (self.home / "web" / "releases").iterdir()}

    @property
    def live(self) -> str:
        return (self.home / "web" / "current").readlink().name

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"

    def get(self) -> str:
        with urllib.request.urlopen(f"http://{self.address}/version", timeout=5) as answer:
            return str(answer.read().decode().strip())


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


@contextmanager
def web(folder: Path, key: Path) -> Iterator[Web]:
    """A host with a home of its own for whoever logs in."""
    home = folder / "home"
    home.mkdir(parents=True)
    login = folder / "login"
    login.write_text(LOGIN.format(home=home))
    login.chmod(0o755)
    handler = partial(Quiet, directory=str(home / "web" / "current"))
    with sshd(folder / "sshd") as daemon, ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        daemon.authorize(key, str(login))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield Web(daemon, home, server)
        server.shutdown()
        thread.join()


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[Web]]:
    key = make_key(tmp_path / "key")
    with ExitStack() as stack:
        yield [stack.enter_context(web(tmp_path / name, key)) for name in HOSTS]


@pytest.fixture
def house(tmp_path: Path, hosts: list[Web]) -> Iterator[House]:
    """A server that deploys the example to the three hosts."""
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text("".join(host.sshd.known_host for host in hosts))
    config = tmp_path / "ssh_config"
    config.write_text(
        "".join(
            HOST.format(
                name=name,
                port=host.sshd.port,
                user=host.sshd.destination.partition("@")[0],
                key=tmp_path / "key",
                known_hosts=known_hosts,
            )
            for name, host in zip(HOSTS, hosts, strict=True)
        )
    )
    house = House(tmp_path)
    try:
        house.start()
        addresses = {name: host.address for name, host in zip(HOSTS, hosts, strict=True)}
        adopt(house, "ssh-releases", ssh_config=str(config), **addresses)
        yield house
    finally:
        house.close()


@contextmanager
def watching(host: Web) -> Iterator[list[str]]:
    """Ask the host all the time: what it answered, errors too."""
    answers: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                answers.append(host.get())
            except OSError as error:
                answers.append(f"error: {error}")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join()


def test_a_release_is_switched_on_all_hosts_and_a_failing_host_puts_all_of_them_back(
    house: House, hosts: list[Web]
) -> None:
    first = house.repository.commit("First")
    assert deploy(house)["status"] == "success"
    assert [host.live for host in hosts] == [first] * 3
    assert [host.get() for host in hosts] == [first] * 3

    second = house.repository.commit("Second")
    with watching(hosts[0]) as answers:
        assert deploy(house)["status"] == "success"
    assert [host.get() for host in hosts] == [second] * 3
    assert set(answers) == {first, second}
    assert sorted(answers, key=[first, second].index) == answers

    for host in (hosts[0], hosts[2]):
        (host.home / "runtime-3").touch()
    (house.repository.path / "deploy" / "activate").write_text(ACTIVATE)
    (house.repository.path / "deploy" / "activate").chmod(0o755)
    third = house.repository.commit("Third")
    failed = deploy(house)
    assert (failed["status"], failed["exit"]) == ("rolled_back", 1)
    assert "runtime 3 is not installed on this host" in logs(house, failed["id"])
    assert [host.live for host in hosts] == [second] * 3
    assert [host.get() for host in hosts] == [second] * 3
    assert [third in host.releases for host in hosts] == [True] * 3


def test_five_releases_are_kept_and_an_older_one_is_uploaded_again(house: House, hosts: list[Web]) -> None:
    commits = [house.repository.commit(f"Release {number}") for number in range(6)]
    for commit in commits:
        assert deploy(house, commit)["status"] == "success"
    assert [host.releases for host in hosts] == [set(commits[-5:])] * 3
    assert deploy(house, commits[0])["status"] == "success"
    assert [host.get() for host in hosts] == [commits[0]] * 3
    assert [host.releases for host in hosts] == [{*commits[-4:], commits[0]}] * 3


def test_a_host_with_another_key_than_the_known_one_gets_nothing(house: House, hosts: list[Web]) -> None:
    known_hosts = hosts[1].sshd.folder.parents[1] / "known_hosts"
    other = make_key(known_hosts.with_name("other")).with_name("other.pub").read_text()
    lines = known_hosts.read_text().splitlines()
    lines[1] = f"[127.0.0.1]:{hosts[1].sshd.port} {other.strip()}"
    known_hosts.write_text("\n".join(lines) + "\n")
    failed = deploy(house)
    assert (failed["status"], failed["reason"]) == ("failed", "step_failed")
    assert "Host key verification failed" in logs(house, failed["id"])
    assert not (hosts[1].home / "web").exists()
