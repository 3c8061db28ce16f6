"""How the server proves itself to private repositories: the settings' `git.sources`, made ready for one git.

A key is named to ssh by its path. A token goes through a pipe that only this git and its children have: it is
never in an argument, an address, a file of git's or a variable.
"""

from __future__ import annotations

import asyncio
import binascii
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from dg.core.command import run
from dg.core.deployments.remotes import Address, address
from dg.core.deployments.secrets import SHORTEST, exposed
from dg.core.errors import Invalid, Refused
from dg.core.text import plain
from dg.settings.git import GitSource

Kind = Literal["ssh_key", "ssh_agent", "token"]

SSH_OPTIONS = (
    *("-o", "BatchMode=yes", "-o", "ConnectTimeout=15"),
    # A shared ssh connection would outlive git and hold its pipes.
    *("-o", "ControlMaster=no", "-o", "ControlPath=none"),
)
_SSH_STRICT = (
    *("-F", os.devnull, "-o", "StrictHostKeyChecking=yes", "-o", "UpdateHostKeys=no"),
    *("-o", f"GlobalKnownHostsFile={os.devnull}", "-o", "PreferredAuthentications=publickey"),
    *("-o", "ClearAllForwardings=yes", "-o", "ForwardAgent=no"),
)
_HELPER = '!f() {{ if [ "$1" = get ]; then cat /dev/fd/{descriptor}; fi; }}; f'
_TOKEN = re.compile(r"[!-~]+")
_LONGEST_TOKEN = 16 * 1024
_LARGEST_KEY = 64 * 1024
_COMMAND_TIMEOUT = 30.0


class Use(NamedTuple):
    """Which source an address falls under, and what it proves itself with."""

    source: str
    kind: Kind


class Repository(NamedTuple):
    """One repository on a host that wants reports: `path` is `owner/name`, `url` finds its token."""

    source: str
    kind: Literal["github", "gitlab"]
    host: str
    path: str
    url: str
    api: str | None


@dataclass(frozen=True)
class Credential:
    """What one git gets. `variables` are its environment's; `token` travels by `handed` alone, for `host`."""

    use: Use
    variables: Mapping[str, str] = field(default_factory=dict)
    host: str = ""
    username: str = ""
    token: str | None = field(default=None, repr=False)


class Sources:
    """The sources of the settings. `environ` is the server's environment; relative paths are below `home`."""

    def __init__(self, sources: Mapping[str, GitSource], home: Path, environ: Mapping[str, str]) -> None:
        self._home = home
        self._environ = environ
        self._sources = [(_beginning(name), name, source) for name, source in sources.items()]
        self._sources.sort(key=lambda entry: (len(entry[0].segments), bool(entry[0].user)), reverse=True)

    def use(self, url: str) -> Use | None:
        """The source that `url` falls under: the one with the longest beginning; None without one."""
        found = self._find(url)
        return Use(found[0], _kind(found[1])) if found else None

    @property
    def reports(self) -> bool:
        """Whether any host is told about deployments."""
        return any(source.report for _, _, source in self._sources)

    def repository(self, service: str, url: str) -> Repository | None:
        """Where deployments of `service` from `url` are reported to, whether git reaches it by https or ssh;
        None where nobody wants to know."""
        wanted = address(url)
        if wanted is None:
            return None
        port = wanted.port if wanted.scheme == "https" else 443
        host = wanted.host if port == 443 else f"{wanted.host}:{port}"
        path = "/".join(wanted.segments).removesuffix(".git")
        found = self._find(f"https://{host}/{path}")
        name, source = found or ("", None)
        kind = source.report if source else None
        if source is None or kind is None or (source.services and service not in source.services):
            return None
        api = source.report_api.rstrip("/") if source.report_api else None
        return Repository(name, kind, host, path, f"https://{host}/{path}", api)

    async def credential(self, service: str, url: str) -> Credential | None:
        """What the git that reaches for `url` gets; read anew each time, so that a changed one holds at once.

        Raises:
            Refused: the source is not for `service`, or its key or token cannot be used.
        """
        found = self._find(url)
        if found is None:
            return None
        name, source = found
        if source.services and service not in source.services:
            raise refused(name, f"is not for the service `{service}`; an admin adds it to its `services`")
        if _kind(source) == "token":
            return await self._token_of(name, source, url)
        return await asyncio.to_thread(self._ssh, name, source)

    def problems(self) -> Iterator[tuple[str, str | None]]:
        """Each source's name, and what is wrong with its files and variables; None where nothing is.

        Commands that print a token are not run.
        """
        for _, name, source in self._sources:
            try:
                if _kind(source) != "token":
                    self._ssh(name, source)
                elif source.token_command is None:
                    self._written_token(name, source)
            except Refused as problem:
                yield name, problem.message
            else:
                yield name, None

    def _find(self, url: str) -> tuple[str, GitSource] | None:
        wanted = address(url)
        if wanted is None:
            return None
        return next(((name, source) for begin, name, source in self._sources if begin.begins(wanted)), None)

    def _ssh(self, name: str, source: GitSource) -> Credential:
        hosts, key = self._home / (source.known_hosts or ""), self._home / (source.ssh_key or "")
        _check_readable_by_ssh(name, hosts, key)
        _check_known_hosts(name, hosts)
        options = [*SSH_OPTIONS, *_SSH_STRICT, "-o", f'UserKnownHostsFile="{hosts}"']
        if source.ssh_key is None:
            if not self._environ.get("SSH_AUTH_SOCK"):
                raise refused(name, "asks for an ssh agent, but the server was started without SSH_AUTH_SOCK")
            options += ["-o", "IdentityFile=none"]
        else:
            _check_key(name, key)
            options += ["-o", "IdentityAgent=none", "-o", "IdentitiesOnly=yes", "-i", str(key)]
        return Credential(Use(name, _kind(source)), {"GIT_SSH_COMMAND": shlex.join(["ssh", *options])})

    async def _token_of(self, name: str, source: GitSource, url: str) -> Credential:
        if source.token_command:
            token = _usable(name, await self._printed(name, source.token_command))
        else:
            token = await asyncio.to_thread(self._written_token, name, source)
        host = f"https://{urlsplit(url).netloc.rpartition('@')[2]}"
        return Credential(Use(name, "token"), host=host, username=source.username, token=token)

    def _written_token(self, name: str, source: GitSource) -> str:
        if source.token_env is not None:
            if not self._environ.get(source.token_env):
                raise refused(name, f"names {source.token_env}, which the server's environment lacks")
            return _usable(name, self._environ[source.token_env])
        path = self._home / (source.token_file or "")
        return _usable(name, _read(name, "token_file", path, _LONGEST_TOKEN).strip())

    async def _printed(self, name: str, command: tuple[str, ...]) -> str:
        try:
            finished = await run(command, env=self._environ, timeout=_COMMAND_TIMEOUT, cap=_LONGEST_TOKEN)
        except TimeoutError:
            raise refused(
                name, f"got no token: `{command[0]}` did not end within {_COMMAND_TIMEOUT:g} seconds"
            ) from None
        except OSError as error:
            raise refused(name, f"got no token: `{command[0]}` cannot be run: {error.strerror}") from None
        if finished.truncated:
            raise refused(name, f"got no token: `{command[0]}` printed more than {_LONGEST_TOKEN >> 10} KiB")
        if finished.code:
            raise refused(name, f"got no token: `{command[0]}` ended with code {finished.code}")
        return finished.stdout.decode("utf-8", "replace").strip()


@contextmanager
def handed(credential: Credential | None) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
    """The variables that git gets, and the descriptors that it inherits, open as long as the block."""
    if credential is None:
        yield {}, ()
    elif credential.token is None:
        yield {**credential.variables}, ()
    else:
        reader, writer = os.pipe()
        try:
            with os.fdopen(writer, "wb") as file:
                file.write(f"username={credential.username}\npassword={credential.token}\n".encode())
            helper = _HELPER.format(descriptor=reader)
            # For this host alone; where a redirect leads is a matter for whoever wrote the address.
            config = {f"credential.{credential.host}.helper": helper, "http.followRedirects": "false"}
            yield {**credential.variables, **_as_environment(config)}, (reader,)
        finally:
            os.close(reader)


def hidden_variables(sources: Mapping[str, GitSource]) -> frozenset[str]:
    """Names of the variables that hold tokens: no step may see them, whatever its pipeline passes on."""
    return frozenset(source.token_env for source in sources.values() if source.token_env)


def refused(name: str, what: str) -> Refused:
    """That the source called `name` cannot be used; `what` is the rest of the sentence."""
    return Refused(f'the source [git.sources."{name}"] {what}', reason="git_credential", source=name)


def _as_environment(config: Mapping[str, str]) -> dict[str, str]:
    """git's settings as variables: unlike `-c` they stay out of the process list."""
    pairs = {f"GIT_CONFIG_KEY_{at}": key for at, key in enumerate(config)}
    pairs |= {f"GIT_CONFIG_VALUE_{at}": value for at, value in enumerate(config.values())}
    return pairs | {"GIT_CONFIG_COUNT": str(len(config))}


def _kind(source: GitSource) -> Kind:
    if source.ssh_key is not None:
        return "ssh_key"
    return "ssh_agent" if source.agent else "token"


def _beginning(name: str) -> Address:
    try:
        found = address(name)
    except ValueError:
        found = None
    if found is None:
        raise Invalid(f'git.sources: "{plain(name, limit=200)}" cannot be the beginning of an address')
    return found


def _read(name: str, key: str, path: Path, cap: int) -> str:
    """The text of a file that holds a secret. Raises Refused where others could read it."""
    try:
        with path.open("rb") as file:
            if problem := exposed(path, os.fstat(file.fileno())):
                raise refused(name, f"cannot use its {key}: {path} {problem}")
            data = file.read(cap + 1)
    except OSError as error:
        raise refused(name, f"cannot read its {key} {path}: {error.strerror}") from None
    if len(data) > cap:
        raise refused(name, f"cannot use its {key}: {path} is larger than {cap >> 10} KiB")
    return data.decode("utf-8", "replace")


def _check_key(name: str, path: Path) -> None:
    text = _read(name, "ssh_key", path, _LARGEST_KEY)
    if "PRIVATE KEY-----" not in text:
        raise refused(name, f"cannot use its ssh_key: {path} is no private key")
    if _has_passphrase(text):
        raise refused(
            name, f"cannot use its ssh_key: {path} has a passphrase; run: ssh-keygen -p -N '' -f {path}"
        )


def _has_passphrase(key: str) -> bool:
    """By the head of the file: `ENCRYPTED` in PEM, a cipher other than `none` in OpenSSH's own format."""
    if "ENCRYPTED" in key:
        return True
    body = "".join(line for line in key.splitlines() if line and not line.startswith("-----"))
    with suppress(binascii.Error):
        head = binascii.a2b_base64(body[:64])
        return head.startswith(b"openssh-key-v1\0") and head[15:23] != b"\0\0\0\x04none"
    return False


def _check_known_hosts(name: str, path: Path) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise refused(name, f"cannot read its known_hosts {path}: {error.strerror}") from None
    if status.st_mode & 0o022 or status.st_uid not in {0, os.geteuid()}:
        raise refused(name, f"cannot trust its known_hosts: others may write to {path}")


def _check_readable_by_ssh(name: str, *paths: Path) -> None:
    """ssh expands variables and percent signs in paths, and its versions differ in how to quote them."""
    if any(set(str(path)) & set('%$"\\\n') for path in paths):
        raise refused(name, 'names a path with one of % $ " \\ in it, which ssh would read in its own way')


def _usable(name: str, token: str) -> str:
    if not _TOKEN.fullmatch(token) or len(token) < SHORTEST:
        raise refused(
            name, f"has no usable token: it must be one word of at least {SHORTEST} printable characters"
        )
    return token
