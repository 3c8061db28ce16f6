"""Private repositories: a real sshd, git's own HTTPS server, and what may be seen of a secret meanwhile."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.core.deployments.githttps import GitHttps, serving
from tests.core.deployments.world import ADMIN, Repository, World, open_world, step
from tests.files import files_with
from tests.processes import seen_in_processes
from tests.scenarios.house import until
from tests.sshd import Sshd, make_key, needs_sshd, sshd
from tests.tls import make_certificate

from dg.core.clock import SystemClock
from dg.core.command import run
from dg.core.deployments.git import Mirrors
from dg.core.deployments.models import CreateDeployment
from dg.core.deployments.sources import Sources
from dg.core.errors import Refused, Unavailable
from dg.core.types import Environment
from dg.settings.git import GitSource

# Another one in each process: the tests look through all processes, those of other tests beside them too.
TOKEN = f"ghp_{secrets.token_hex(12)}"


def make_mirrors(home: Path, sources: dict[str, dict[str, Any]], **environ: str) -> Mirrors:
    variables = {"PATH": os.environ["PATH"], "HOME": str(home), **environ}
    known = {name: GitSource.model_validate(source) for name, source in sources.items()}
    return Mirrors(
        home / "git",
        clock=SystemClock(),
        environ=variables,
        timeout=30,
        sources=Sources(known, home, variables),
    )


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


# ssh


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.copy(tmp_path / "private")


@dataclass
class Host:
    """An sshd that gives out one repository, and the files that a source needs to reach it."""

    sshd: Sshd
    key: Path
    known_hosts: Path

    @property
    def name(self) -> str:
        return f"ssh://{self.sshd.destination}:{self.sshd.port}/"

    @property
    def url(self) -> str:
        return f"{self.name}acme/web.git"

    def source(self, **changes: Any) -> dict[str, Any]:
        return {"ssh_key": self.key, "known_hosts": self.known_hosts} | changes


@pytest.fixture
def host(tmp_path: Path, repository: Repository) -> Iterator[Host]:
    with sshd(tmp_path / "sshd") as daemon:
        key = make_key(tmp_path / "deploy_key")
        daemon.authorize(key, f"git upload-pack {repository.path}")
        known_hosts = tmp_path / "known_hosts"
        known_hosts.write_text(daemon.known_host)
        yield Host(daemon, key, known_hosts)


@needs_sshd
async def test_a_repository_is_read_with_the_key_of_its_source(
    tmp_path: Path, host: Host, repository: Repository
) -> None:
    mirrors = make_mirrors(tmp_path, {host.name: host.source()})
    assert (await mirrors.resolve("web", host.url, "v2")).commit == repository.head("v2")
    assert mirrors.use(host.url) == (host.name, "ssh_key")


@needs_sshd
async def test_paths_of_key_and_known_hosts_may_be_relative_and_hold_blanks(
    tmp_path: Path, host: Host, repository: Repository
) -> None:
    odd = tmp_path / "all of my keys"
    odd.mkdir()
    host.key.rename(odd / "key")
    host.known_hosts.rename(odd / "known hosts")
    source = {"ssh_key": f"{odd.name}/key", "known_hosts": f"{odd.name}/known hosts"}
    mirrors = make_mirrors(tmp_path, {host.name: source})
    assert (await mirrors.resolve("web", host.url, "v1")).commit == repository.head("v1")


@needs_sshd
async def test_a_host_that_shows_another_key_is_refused_before_anything_is_sent(
    tmp_path: Path, host: Host
) -> None:
    other = make_key(tmp_path / "other").with_name("other.pub").read_text()
    host.known_hosts.write_text(f"[127.0.0.1]:{host.sshd.port} {other}")
    with pytest.raises(Refused, match=r"shows another host key than the one in the known_hosts") as caught:
        await make_mirrors(tmp_path, {host.name: host.source()}).fetch("web", host.url)
    assert (caught.value.reason, caught.value.status) == ("git_host_key", 409)
    assert "Accepted" not in host.sshd.log.read_text()


@needs_sshd
async def test_an_unknown_host_is_refused(tmp_path: Path, host: Host) -> None:
    host.known_hosts.write_text("")
    with pytest.raises(Refused, match=r"has no host key of 127\.0\.0\.1; ask the host's owner"):
        await make_mirrors(tmp_path, {host.name: host.source()}).fetch("web", host.url)
    assert host.known_hosts.read_text() == ""


@needs_sshd
async def test_a_key_that_the_host_does_not_know_is_named(tmp_path: Path, host: Host) -> None:
    stranger = make_key(tmp_path / "stranger")
    with pytest.raises(
        Refused, match=r"does not let the server in: .*Permission denied \(publickey\)"
    ) as caught:
        await make_mirrors(tmp_path, {host.name: host.source(ssh_key=stranger)}).fetch("web", host.url)
    assert f'check the ssh key of [git.sources."{host.name}"]' in caught.value.message
    assert caught.value.reason == "git_credential"


@needs_sshd
@pytest.mark.parametrize("form", [(), ("-m", "PEM"), ("-m", "PKCS8")], ids=["openssh", "pem", "pkcs8"])
async def test_a_key_with_a_passphrase_is_refused_at_once(
    tmp_path: Path, host: Host, form: tuple[str, ...]
) -> None:
    locked = make_key(tmp_path / "locked", "-t", "ecdsa", *form, passphrase="correct horse")
    with pytest.raises(Refused, match="has a passphrase; run: ssh-keygen -p"):
        await make_mirrors(tmp_path, {host.name: host.source(ssh_key=locked)}).fetch("web", host.url)
    assert "Connection" not in host.sshd.log.read_text()


@needs_sshd
async def test_other_keys_and_the_agent_of_the_user_are_left_alone(tmp_path: Path, host: Host) -> None:
    """The user's own key would open this host; a source that names another one does not get it."""
    ssh = tmp_path / ".ssh"
    ssh.mkdir(mode=0o700)
    host.key.rename(ssh / "id_ed25519")
    stranger = make_key(tmp_path / "stranger")
    with agent(tmp_path, ssh / "id_ed25519") as socket:
        mirrors = make_mirrors(tmp_path, {host.name: host.source(ssh_key=stranger)}, SSH_AUTH_SOCK=socket)
        with pytest.raises(Refused, match="Permission denied"):
            await mirrors.fetch("web", host.url)


@needs_sshd
async def test_an_agent_is_asked_where_the_source_says_so(
    tmp_path: Path, host: Host, repository: Repository
) -> None:
    source = {"agent": True, "known_hosts": host.known_hosts}
    with agent(tmp_path, host.key) as socket:
        mirrors = make_mirrors(tmp_path, {host.name: source}, SSH_AUTH_SOCK=socket)
        assert (await mirrors.resolve("web", host.url, "v1")).commit == repository.head("v1")
    with pytest.raises(Refused, match="without SSH_AUTH_SOCK"):
        await make_mirrors(tmp_path, {host.name: source}).fetch("web", host.url)


@contextmanager
def agent(folder: Path, key: Path) -> Iterator[str]:
    """A real ssh agent that holds one key; gives the path of its socket."""
    socket = folder / "agent.socket"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        until(socket.exists, "the agent to listen")
        environ = {"PATH": os.environ["PATH"], "SSH_AUTH_SOCK": str(socket)}
        subprocess.run(["ssh-add", "-q", str(key)], env=environ, check=True, capture_output=True)
        yield str(socket)
    finally:
        process.terminate()
        process.wait(10)


# https


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def https(repository: Repository, certificate: tuple[Path, Path]) -> Iterator[GitHttps]:
    server = GitHttps(repository.path.parent, *certificate, username="x-access-token", token=TOKEN)
    with serving(server):
        yield server


def with_token(
    home: Path, server: GitHttps, certificate: tuple[Path, Path], token: str = TOKEN, **source: Any
) -> Mirrors:
    source = source or {"token_file": private(home / "token", f"{token}\n")}
    return make_mirrors(home, {f"{server.url}/": source}, GIT_SSL_CAINFO=str(certificate[0]))


async def test_a_token_is_in_no_argument_and_no_environment_while_git_uses_it(
    tmp_path: Path, https: GitHttps, certificate: tuple[Path, Path], repository: Repository
) -> None:
    seen: list[set[str]] = []
    pair = https.expected.removeprefix("Basic ")
    https.during = lambda: seen.append(seen_in_processes(TOKEN, pair))
    mirrors = with_token(tmp_path, https, certificate)
    resolved = await mirrors.resolve("web", f"{https.url}/private", "v3")
    assert resolved.commit == repository.head("v3")
    assert len(seen) >= 2
    assert set().union(*seen) == set()
    assert files_with(mirrors.path("web"), TOKEN) == []


async def test_the_look_at_processes_would_find_a_token(
    tmp_path: Path, https: GitHttps, certificate: tuple[Path, Path]
) -> None:
    seen: list[set[str]] = []
    https.during = lambda: seen.append(seen_in_processes(TOKEN))
    careless = ["git", "-c", f"http.extraHeader=Authorization: {https.expected}", "-c", f"x.y={TOKEN}"]
    environ = {"PATH": os.environ["PATH"], "GIT_SSL_CAINFO": str(certificate[0]), "SECRET": TOKEN}
    argv = [*careless, "ls-remote", f"{https.url}/private"]
    await run(argv, env=environ, timeout=30, cap=1000)
    assert {"cmdline of git", "environ of git"} <= set().union(*seen)


@pytest.mark.parametrize("address", ["{url}/private", "https://somebody@{host}/private"])
async def test_the_token_goes_with_the_user_name_of_its_source(
    tmp_path: Path, https: GitHttps, certificate: tuple[Path, Path], address: str
) -> None:
    host = https.url.removeprefix("https://")
    await with_token(tmp_path, https, certificate).fetch("web", address.format(url=https.url, host=host))
    assert set(https.seen) == {None, https.expected}


async def test_a_wrong_token_is_refused_and_repeated_nowhere(
    tmp_path: Path, https: GitHttps, certificate: tuple[Path, Path]
) -> None:
    wrong = "ghp_WrongWrongWrong12345"
    with pytest.raises(Refused, match="does not let the server in") as caught:
        await with_token(tmp_path, https, certificate, wrong).fetch("web", f"{https.url}/private")
    assert f'check the token of [git.sources."{https.url}/"]' in caught.value.message
    assert (caught.value.reason, caught.value.status) == ("git_credential", 409)
    assert any(shown for shown in https.seen)
    assert wrong not in repr(caught.value.__dict__) + str(caught.value)


async def test_a_private_repository_of_no_source_says_where_to_name_a_token(
    tmp_path: Path, https: GitHttps, certificate: tuple[Path, Path]
) -> None:
    mirrors = make_mirrors(tmp_path, {}, GIT_SSL_CAINFO=str(certificate[0]))
    with pytest.raises(Refused, match="name a key or a token") as caught:
        await mirrors.fetch("web", f"{https.url}/acme/private")
    assert f'[git.sources."{https.url}/acme/"]' in caught.value.message


async def test_a_token_is_not_carried_to_where_a_host_redirects(
    tmp_path: Path, https: GitHttps, certificate: tuple[Path, Path], repository: Repository
) -> None:
    with serving(GitHttps(repository.path.parent, *certificate, "x-access-token", TOKEN)) as other:
        https.redirect = other.url
        with pytest.raises(Refused, match="redirects; register the address"):
            await with_token(tmp_path, https, certificate).fetch("web", f"{https.url}/private")
        assert other.seen == []


async def test_a_token_may_come_from_a_variable_or_a_command(
    tmp_path: Path, https: GitHttps, certificate: tuple[Path, Path]
) -> None:
    environ = {"GIT_SSL_CAINFO": str(certificate[0]), "ACME_TOKEN": TOKEN}
    for source in ({"token_env": "ACME_TOKEN"}, {"token_command": ["sh", "-c", "echo $ACME_TOKEN"]}):
        await make_mirrors(tmp_path, {https.url: source}, **environ).fetch("web", f"{https.url}/private")
    assert https.expected in https.seen


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ({"token_file": "open"}, "is open to others; run: chmod 600"),
        ({"token_file": "missing"}, "No such file or directory"),
        ({"token_file": "empty"}, "has no usable token"),
        ({"token_file": "two"}, "has no usable token: it must be one word"),
        ({"token_file": "folder"}, "Is a directory"),
        ({"token_env": "NOT_THERE"}, "names NOT_THERE, which the server's environment lacks"),
        ({"token_command": ["false"]}, "`false` ended with code 1"),
        ({"token_command": ["/no/such/program"]}, "`/no/such/program` cannot be run"),
        ({"token_command": ["head", "-c", "20000", "/dev/zero"]}, "printed more than 16 KiB"),
        ({"ssh_key": "open", "known_hosts": "hosts"}, "is open to others; run: chmod 600"),
        ({"ssh_key": "missing", "known_hosts": "hosts"}, "cannot read its ssh_key"),
        ({"ssh_key": "two", "known_hosts": "hosts"}, "is no private key"),
        ({"ssh_key": "two", "known_hosts": "missing"}, "cannot read its known_hosts"),
        ({"ssh_key": "two", "known_hosts": "writable"}, "others may write to"),
        ({"ssh_key": "${HOME}/key", "known_hosts": "hosts"}, "which ssh would read in its own way"),
    ],
)
async def test_a_source_that_cannot_be_used_is_said_in_a_sentence_that_holds_no_secret(
    tmp_path: Path, source: dict[str, Any], sentence: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "hosts").touch(mode=0o644)
    (tmp_path / "writable").touch()
    (tmp_path / "writable").chmod(0o666)
    private(tmp_path / "open", TOKEN).chmod(0o640)
    private(tmp_path / "two", f"{TOKEN} {TOKEN}")
    private(tmp_path / "empty", "\n")
    url = "git@127.0.0.1:web.git" if "ssh_key" in source else "https://127.0.0.1/web.git"
    mirrors = make_mirrors(tmp_path, {url: source})
    with pytest.raises(Refused) as caught:
        await mirrors.fetch("web", url)
    assert sentence in caught.value.message
    assert TOKEN not in caught.value.message
    if "token_command" not in source:
        known = {url: GitSource.model_validate(source)}
        problems = dict(Sources(known, tmp_path, {}).problems())
        assert problems == {url: caught.value.message}


async def test_a_source_of_other_services_is_not_used(tmp_path: Path) -> None:
    source = {"token_file": "token", "services": ["shop"]}
    with pytest.raises(Refused, match="is not for the service `web`"):
        await make_mirrors(tmp_path, {"https://127.0.0.1": source}).fetch("web", "https://127.0.0.1/web.git")


# A whole deployment


@pytest.fixture
async def world(
    tmp_path: Path, https: GitHttps, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    private(tmp_path / "token", TOKEN)
    sources = {
        f"{https.url}/": {"token_file": tmp_path / "token"},
        "https://git.example.com/": {"token_env": "OTHER_TOKEN"},
    }
    environ = {"GIT_SSL_CAINFO": str(certificate[0]), "OTHER_TOKEN": "another-secret-token"}
    async with open_world(tmp_path, environ=environ, git={"sources": sources}) as world:
        yield world
        await world.stop()


async def test_a_deployment_from_a_private_repository_leaves_the_token_nowhere(
    tmp_path: Path, world: World, https: GitHttps
) -> None:
    seen: list[set[str]] = []
    https.during = lambda: seen.append(seen_in_processes(TOKEN))
    look = step("look", "deploy", "env; cat .git/config; echo token=[${OTHER_TOKEN-}]")
    text = world.pipeline(look, git=f"{https.url}/private").replace('["JOURNAL"]', '["OTHER_TOKEN"]')
    await world.core.pipelines.register(ADMIN, text)
    deployment = await world.deploy("v2")
    lines = await world.lines(deployment)
    assert "token=[]" in lines
    assert not [line for line in lines if TOKEN in line or "another-secret" in line]
    assert set().union(*seen) == set()
    assert files_with(tmp_path / "home", TOKEN) == []


async def test_the_source_says_what_let_the_server_in(world: World, https: GitHttps) -> None:
    await world.register(git=f"{https.url}/private")
    found = await world.core.pipelines.source(ADMIN, "web")
    assert (found.source, found.credential, found.ref) == (f"{https.url}/", "token", "main")
    wish = CreateDeployment(environment=Environment.STAGING, ref="v1")
    planned = await world.core.deployments.preview(ADMIN, wish)
    assert (planned.source, planned.credential) == (found.source, found.credential)
    https.expected = "Basic somebody-renewed-it"
    with pytest.raises(Refused, match="check the token of"):
        await world.core.pipelines.source(ADMIN, "web")
    https.shutdown()
    https.server_close()
    with pytest.raises(Unavailable):
        await world.core.pipelines.source(ADMIN, "web")
