"""Starts the three hosts, one for each environment, and knows their addresses and tokens."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dg.core.clock import Clock
from dg.core.types import Environment
from dg.sandbox.home import SandboxHome
from dg.sandbox.owned import owned

HOST = Path(__file__).with_name("host.py")
START_SECONDS = 20.0

SETTINGS: Mapping[Environment, Mapping[str, str]] = {
    Environment.DEVELOPMENT: {},
    Environment.STAGING: {},
    Environment.PRODUCTION: {"SHOP_DISCOUNT": "15"},
}
"""What each host gives to the releases it runs. Only production has a discount: v1.2.0 trips over it."""


@dataclass(frozen=True)
class HostAddress:
    """Where a host answers visitors and takes releases, and what opens the latter."""

    pid: int
    site: str
    agent: str
    token: str = field(repr=False)

    @property
    def port(self) -> str:
        """The site's."""
        return self.site.rpartition(":")[2]


Hosts = Mapping[Environment, HostAddress]


@asynccontextmanager
async def open_hosts(home: SandboxHome, clock: Clock) -> AsyncIterator[Hosts]:
    """Hosts that run until the block ends. Raises Unavailable when one does not start."""
    async with AsyncExitStack() as stack:
        running, tokens = {}, {}
        for environment, settings in SETTINGS.items():
            folder = home.host(environment)
            folder.mkdir(mode=0o700)
            command = (sys.executable, "-I", "-S", "-B", str(HOST), str(folder))
            host = await stack.enter_async_context(owned(command, folder / "host.log", {}, clock))
            tokens[environment] = secrets.token_hex(16)
            told = {"name": environment.value, "token": tokens[environment], "environ": dict(settings)}
            host.tell(json.dumps(told).encode() + b"\n")
            running[environment] = host
        addresses = {}
        for environment, host in running.items():
            ports = json.loads(await host.says('"agent"', START_SECONDS))
            site, agent = (f"http://127.0.0.1:{int(ports[name])}" for name in ("site", "agent"))
            addresses[environment] = HostAddress(host.pid, site, agent, tokens[environment])
        yield addresses


def placeholders(hosts: Hosts, home: SandboxHome) -> dict[str, str]:
    """The values of the placeholders in the shop's `dg.toml`."""
    return {
        "releases": str(home.releases),
        **{f"{name}_site": host.site for name, host in hosts.items()},
        **{f"{name}_agent": host.agent for name, host in hosts.items()},
    }
