"""What the three environments are configured with: their addresses, the secret of their host, a probe."""

from __future__ import annotations

import asyncio
from typing import Any

from dg.client.app import Client
from dg.core.environments.models import UpdateEnvironment
from dg.core.types import Environment
from dg.sandbox.hosts import HostAddress, Hosts

PROBE, SERVICE = "products", "shop"
SECRET = "host_token"  # noqa: S105  its name


async def configure(owner: Client, hosts: Hosts) -> None:
    """Give each environment its site's address and the secret by which steps reach its host."""

    async def one(environment: Environment, host: HostAddress) -> None:
        request = UpdateEnvironment(
            domain="127.0.0.1",
            config={"site": host.site},
            secrets={SECRET: host.token},
            links={SERVICE: f"{host.site}/products"},
            reason="the host of the sandbox",
        )
        await owner.environments.update(environment, request)

    await asyncio.gather(*(one(*each) for each in hosts.items()))


async def probe(owner: Client, hosts: Hosts) -> None:
    """Ask each shop for what customers ask it for, every second."""
    for environment, host in hosts.items():
        await owner.health.set_probe(environment, PROBE, definition(host), reason="customers want to know")


def definition(host: HostAddress) -> dict[str, Any]:
    """One answer is enough to believe it, so that a short story has both ends of an outage in it."""
    return {
        "kind": "http",
        "service": SERVICE,
        "url": f"{host.site}/products",
        "interval": "1s",
        "fail_after": 1,
        "recover_after": 1,
    }
