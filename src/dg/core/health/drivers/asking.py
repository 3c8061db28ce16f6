"""Makes one try of any probe: within its time, and whatever happens it ends as a sample."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import ssl
from collections.abc import Awaitable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol, cast
from urllib.parse import unquote, urlsplit

from dg.core.clock import Clock
from dg.core.errors import Problem, Unavailable
from dg.core.health.drivers import command, dns, http, postgresql, redis, tcp
from dg.core.health.drivers.attempts import Attempt, Failed, Unable
from dg.core.health.models import Outcome, Sample
from dg.core.health.probes import (
    CommandProbe,
    DnsProbe,
    HttpProbe,
    PostgresqlProbe,
    Probe,
    RedisProbe,
    TcpProbe,
)
from dg.core.http import Outbound, Resolve
from dg.core.text import plain
from dg.core.types import Environment
from dg.runner.handover import Sealed

log = logging.getLogger(__name__)

_LONGEST = 300
_OWN = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOBUFS,
        errno.EADDRNOTAVAIL,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EACCES,
        errno.EPERM,
    }
)
"""Errors of this machine: no target is to blame for them."""
_SILENT = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EHOSTDOWN})


class Secrets(Protocol):
    """The values of a service's secrets. Raises Refused for one that is not set."""

    async def get(self, service: str, environment: Environment, names: Iterable[str]) -> dict[str, str]: ...


class Asker:
    """Asks by the means of this machine. `environ` is what commands see of the server's variables."""

    def __init__(
        self,
        outbound: Outbound,
        resolve: Resolve,
        secrets: Secrets,
        *,
        clock: Clock,
        environ: Mapping[str, str],
        commands: int,
    ) -> None:
        self._outbound = outbound
        self._resolve = resolve
        self._secrets = secrets
        self._clock = clock
        self._environ = environ
        self._commands = commands
        # One for each, so that slow commands of one environment keep no other waiting.
        self._rooms = {environment: asyncio.Semaphore(commands) for environment in Environment}

    async def __call__(self, environment: Environment, probe: Probe) -> Sample:
        """One try. Raises nothing but a cancellation."""
        attempt: Attempt[Any] = Attempt(environment, probe)
        try:
            attempt.secrets = await self._secrets.get(probe.service, environment, probe.secret_names)
        except Problem as problem:
            return _sample(attempt, Outcome.UNKNOWN, problem.message)
        if sealed := sorted(name for name, value in attempt.secrets.items() if isinstance(value, Sealed)):
            return _sample(attempt, Outcome.UNKNOWN, f"only the runner can open the secret {sealed[0]}")
        if isinstance(probe, CommandProbe):
            async with self._room_for_a_command(environment):
                return await self._within(attempt)
        return await self._within(attempt)

    @asynccontextmanager
    async def _room_for_a_command(self, environment: Environment) -> Any:
        if not self._commands:
            yield
            return
        async with self._rooms[environment]:
            yield

    async def _within(self, attempt: Attempt[Any]) -> Sample:
        begun = self._clock.monotonic()
        limit = attempt.probe.limit
        try:
            async with asyncio.timeout(limit):
                warning = await self._ask(attempt)
        except (TimeoutError, Failed, Unable, Problem, OSError, ssl.SSLError) as error:
            took = self._clock.monotonic() - begun
            return _ended(attempt, error, took if attempt.connected else None)
        except Exception as error:
            log.exception("the %s probe of %s broke", attempt.probe.kind, attempt.probe.service)
            return _sample(attempt, Outcome.UNKNOWN, f"dg could not ask ({type(error).__name__})")
        took = self._clock.monotonic() - begun
        slow = attempt.probe.slow
        if warning is None and slow is not None and took > slow:
            warning = f"took {took:.2f} s, longer than {slow:g} s"
        return _sample(attempt, Outcome.SLOW if warning else Outcome.PASSED, warning or "", took)

    def _ask(self, attempt: Attempt[Any]) -> Awaitable[str | None]:
        outbound, clock = self._outbound, self._clock
        asked: Awaitable[Any]
        match attempt.probe:
            case HttpProbe():
                asked = http.ask(outbound, clock, attempt)
            case TcpProbe():
                asked = tcp.ask(outbound, clock, attempt)
            case DnsProbe():
                asked = dns.ask(self._resolve, attempt)
            case PostgresqlProbe():
                asked = postgresql.ask(outbound, attempt)
            case RedisProbe():
                asked = redis.ask(outbound, attempt)
            case CommandProbe() if self._commands:
                asked = command.ask(self._environ, attempt)
            case CommandProbe():
                raise Unable("commands are off; an admin allows them with `[probes] commands = 4`")
            case _:
                raise Unable("is told, not asked")
        return cast("Awaitable[str | None]", asked)


def _ended(attempt: Attempt[Any], error: Exception, took: float | None) -> Sample:
    match error:
        case Unable():
            return _sample(attempt, Outcome.UNKNOWN, str(error))
        case Failed():
            return _sample(attempt, Outcome.FAILED, str(error), took)
        case Unavailable():
            return _sample(attempt, Outcome.FAILED, error.message, silent=error.reason == "resolver")
        case Problem():
            # What dg may not reach is not asked, so nothing is known of it.
            return _sample(attempt, Outcome.UNKNOWN, error.message)
        case ssl.SSLCertVerificationError():
            return _sample(attempt, Outcome.FAILED, f"has a certificate that does not hold: {_why(error)}")
        case ssl.SSLError():
            return _sample(attempt, Outcome.FAILED, "does not speak TLS as it should")
        case OSError() if error.errno in _OWN:
            return _sample(attempt, Outcome.UNKNOWN, f"dg itself could not ask: {os.strerror(error.errno)}")
        case OSError() if error.errno is not None and not isinstance(error, TimeoutError):
            message = f"cannot be reached: {os.strerror(error.errno)}"
            return _sample(attempt, Outcome.FAILED, message, silent=error.errno in _SILENT)
    limit = attempt.probe.limit
    said = "did not answer" if attempt.connected else "could not be reached"
    return _sample(attempt, Outcome.FAILED, f"{said} within {limit:g} s", silent=not attempt.connected)


def _why(error: ssl.SSLCertVerificationError) -> str:
    return plain(error.verify_message or "it cannot be verified", limit=_LONGEST)


def _sample(
    attempt: Attempt[Any],
    outcome: Outcome,
    message: str,
    took: float | None = None,
    *,
    silent: bool = False,
) -> Sample:
    said = plain(_masked(message, attempt.secrets), limit=_LONGEST)
    return Sample(outcome, took, said, attempt.host, silent, attempt.facts)


def _masked(message: str, secrets: Mapping[str, str]) -> str:
    """A target that was told a secret may say it again."""
    for value in sorted(_values(secrets), key=len, reverse=True):
        message = message.replace(value, "********")
    return message


def _values(secrets: Mapping[str, str]) -> Iterable[str]:
    for value in secrets.values():
        yield from (line for line in (value, *value.splitlines()) if line.strip())
        try:
            password = urlsplit(value).password
        except ValueError:
            continue
        if password:
            yield from (password, unquote(password))
