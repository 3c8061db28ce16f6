"""The table `[git]`: how repositories are read, and what opens private ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from dg.settings.section import Section
from dg.settings.units import Duration, FilePath, Tables


class GitSource(Section):
    """How the server proves itself to the repositories of one source. Relative paths are below the home."""

    ssh_key: FilePath | None = None
    """Private key, mode 0600 and without a passphrase."""
    agent: bool = False
    """Asks the ssh agent of the server's environment instead of reading a key."""
    known_hosts: FilePath | None = None
    """Host keys that are accepted; no other is."""
    username: str = Field("x-access-token", pattern=r"^[!-9;-~]{1,255}$")
    """User name that goes with a token."""
    token_file: FilePath | None = None
    """A file of mode 0600 that holds the token."""
    token_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """A variable of the server's environment that holds the token; steps never see it."""
    token_command: tuple[str, ...] | None = Field(None, min_length=1)
    """A command, as a list of arguments, that prints the token."""
    services: tuple[str, ...] = ()
    """The only services that may use it; all of them when left out."""
    report: Literal["github", "gitlab"] | None = None
    """Tells the host about deployments of these repositories, in this API: statuses of commits and
    deployments. The token must be allowed to write them."""
    report_api: str | None = Field(
        None, pattern=r"^(https://|http://(127\.0\.0\.1|localhost)[:/])[^\s?#@]+$", max_length=500
    )
    """Address of that API, where it is not the usual one of the host."""

    def problem(self, name: str) -> str | None:
        """What is wrong between its fields, for the source called `name`."""
        tokens = [key for key in _TOKEN_KEYS if getattr(self, key) is not None]
        if self.report and not name.startswith("https://"):
            return "report belongs to an https address, which has a token"
        if self.report_api and not self.report:
            return "report_api belongs to report: name the kind of the API there"
        if name.startswith("https://"):
            if self.ssh_key or self.agent or self.known_hosts:
                return "ssh_key, agent and known_hosts belong to an ssh address; an https address has a token"
            return None if len(tokens) == 1 else f"needs exactly one of {', '.join(_TOKEN_KEYS)}"
        if tokens:
            return f"{tokens[0]} belongs to an https address; an ssh address has ssh_key or agent"
        if (self.ssh_key is not None) == self.agent:
            return "needs exactly one of ssh_key and agent = true"
        return None if self.known_hosts else "needs known_hosts: the server accepts no host key unseen"


_TOKEN_KEYS = ("token_file", "token_env", "token_command")
_SOURCE_NAME = re.compile(r"(https://|ssh://)[^\s/]+(/\S*)?|[\w.-]+@[\w.-]+:[^/\s]?\S*", re.ASCII)


def _check_sources(sources: Mapping[str, GitSource]) -> Mapping[str, GitSource]:
    for name, source in sources.items():
        if not _SOURCE_NAME.fullmatch(name):
            raise ValueError(f'"{name}" is no beginning of an https://, ssh:// or user@host: address')
        if problem := source.problem(name):
            raise ValueError(f'"{name}" {problem}')
    return sources


class Git(Section):
    """How repositories are read."""

    timeout: Duration = 120.0
    """Longest time for one git command, a first clone included."""
    ssh_command: str | None = Field(None, min_length=1)
    """Command for git over SSH to addresses of no source; without one, `ssh` that never asks."""
    sources: Annotated[Tables[GitSource], AfterValidator(_check_sources)] = Field({})
    """Keys and tokens for private repositories, a table for each source: see `docs/private-git.md`."""
