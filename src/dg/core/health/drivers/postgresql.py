"""Asks a PostgreSQL server with a session and a query that reads nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from dg.core.health.drivers.attempts import Attempt, Failed, Unable
from dg.core.health.drivers.dial import dialled
from dg.core.health.drivers.relay import relaying
from dg.core.health.probes import PostgresqlProbe
from dg.core.http import Outbound
from dg.core.tasks import open_tasks
from dg.core.text import plain

_KNOWN = frozenset({"host", "port", "user", "password", "dbname", "sslmode", "channel_binding"})
"""What an address may say; the rest of libpq's words name files of this machine, or other servers."""
_OWN = {
    "application_name": "dg probe",
    "passfile": "/dev/null",
    "connect_timeout": "60",
    "gssencmode": "disable",
}
_LONGEST = 200
_MOST = 1 << 20
"""Bytes that a server may say in all, certificates and notices too; it needs a few thousand."""


async def ask(outbound: Outbound, attempt: Attempt[PostgresqlProbe]) -> None:
    """Log in and ask. Raises Failed, Unable, Problem, OSError."""
    try:
        import psycopg  # noqa: F401 - looked for only
    except ImportError:
        raise Unable("the server has no driver for PostgreSQL: install dg[postgresql]") from None
    given = _address(attempt)
    host, port = given["host"], int(given["port"])
    # libpq keeps whatever a server sends, a gigabyte too.
    async with relaying(lambda: dialled(outbound, attempt, host, port), _MOST) as relay:
        way = {"hostaddr": "127.0.0.1", "host": host, "port": relay.port}
        async with open_tasks() as tasks:
            asked = tasks.spawn("query", _query({**given, **_OWN, **way}))
            try:
                problem = await asyncio.shield(asked)
            except asyncio.CancelledError:
                # Over an open way psycopg would ask a mute server for seconds to give the query up.
                relay.cut()
                raise
        if problem is not None:
            raise relay.failure or Failed(problem)
        await relay.finish()


async def _query(way: Mapping[str, Any]) -> str | None:
    """Log in and ask; what the server or libpq said against it."""
    import psycopg

    try:
        session = await psycopg.AsyncConnection.connect(**way, autocommit=True)
        try:
            await session.execute("SELECT 1")
        finally:
            await session.close()
    except psycopg.Error as error:
        return _said(error)
    return None


def _address(attempt: Attempt[PostgresqlProbe]) -> dict[str, Any]:
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    name = attempt.probe.secret
    try:
        given = dict(conninfo_to_dict(attempt.secrets[name]))
    except ProgrammingError:
        raise Unable(
            f"the secret {name} is no address such as postgresql://user:password@host/name"
        ) from None
    if unknown := sorted(given.keys() - _KNOWN):
        raise Unable(f"the secret {name} says {', '.join(unknown)}, which a probe does not use")
    host, port = str(given.get("host") or ""), str(given.get("port") or "5432")
    if not host or "," in host or host.startswith(("/", "@")) or not port.isdecimal():
        raise Unable(f"the secret {name} must name one host on the network")
    return {**given, "host": host, "port": port}


def _said(error: Any) -> str:
    """The last of what the server or libpq said: what is indented is only a guess."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("\t")]
    text = lines[-1] if lines else type(error).__name__
    return plain(text.rpartition("failed: ")[2] or text, limit=_LONGEST)
