"""Asks whether a port takes connections, and what the other side says first."""

from __future__ import annotations

from dg.core.clock import Clock
from dg.core.health.drivers.attempts import Attempt, Failed
from dg.core.health.drivers.dial import dialled
from dg.core.health.drivers.http import certificate_warning
from dg.core.health.probes import TcpProbe
from dg.core.http import Outbound


async def ask(outbound: Outbound, clock: Clock, attempt: Attempt[TcpProbe]) -> str | None:
    """Connect, and listen where it says something. Raises Failed, Problem, OSError."""
    probe = attempt.probe
    async with dialled(outbound, attempt, probe.host, probe.port, tls=probe.tls) as stream:
        if probe.expect is not None:
            wanted, heard = probe.expect.encode(), b""
            while len(heard) < len(wanted) and (more := await stream.reader.read(1024)):
                heard += more
            if not heard.startswith(wanted):
                raise Failed("says something else than it should")
        left = stream.days_left(clock)
    if left is None:
        return None
    attempt.facts["certificate_days"] = left
    return certificate_warning(left, probe.certificate_days)
