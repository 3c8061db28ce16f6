"""Asks the machine's own resolver for a name."""

from __future__ import annotations

import ipaddress
import socket

from dg.core.health.drivers.attempts import Attempt, Failed, Unable
from dg.core.health.probes import DnsProbe
from dg.core.http import Resolve


async def ask(resolve: Resolve, attempt: Attempt[DnsProbe]) -> None:
    """Look it up. Raises Failed; Unable when it is the resolver that does not answer."""
    try:
        found = {str(ipaddress.ip_address(text)) for text in await resolve(attempt.probe.host, 0)}
    except (OSError, UnicodeError) as error:
        if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
            raise Unable("the resolver does not answer") from None
        raise Failed("has no address") from None
    attempt.connected = True
    attempt.facts["addresses"] = sorted(found)
    if missing := sorted(set(attempt.probe.expect) - found):
        raise Failed(f"does not lead to {', '.join(missing)}")
