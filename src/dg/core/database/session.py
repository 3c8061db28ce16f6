"""One connection to PostgreSQL that is made again when it was lost, and can be cut from another thread."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psycopg

from dg.core.database.address import Address
from dg.core.errors import Problem, Refused, Unavailable

Connection = psycopg.Connection[tuple[Any, ...]]

OLDEST = 130000
"""The oldest server that dg is run against, as libpq counts versions."""

_SET = "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS s(name, value)"

_DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)

_SETTINGS: Mapping[str, str] = {
    # What a server that was cut off leaves open must not hold locks, nor hold back the clean-up.
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "3",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "6s",
    "timezone": "UTC",
}


class Session:
    """A connection and how it is set up. Used by one thread at a time, but for `cut`.

    `timeout` (seconds) bounds each statement; `settings` are the server's, for this session.
    """

    def __init__(self, address: Address, timeout: float, settings: Mapping[str, str] | None = None) -> None:
        self.address = address
        limit = {"statement_timeout": f"{round(timeout * 1000)}ms"}
        self._settings = {**_SETTINGS, **limit, **(settings or {})}
        self._connection: Connection | None = None
        self._tap: socket.socket | None = None

    @property
    def lost(self) -> bool:
        """Whether there is no connection: not yet, or not any more."""
        return self._connection is None or self._connection.closed

    def open(self) -> Connection:
        """The connection, made anew when it is lost. Raises psycopg.Error, Refused for an unfit server."""
        if self._connection is None or self._connection.closed:
            self.close()
            self._connection = connect(self.address)
            # A descriptor of its own: the connection's may be another's by the time `cut` comes.
            self._tap = socket.socket(fileno=os.dup(self._connection.fileno()))
            self._connection.execute(_SET, [list(self._settings), list(self._settings.values())])
            if "synchronous_commit" not in self._settings:
                self._connection.execute(_DURABLE)
        return self._connection

    def kept(self) -> Connection:
        """The connection as it was opened, and what it holds. Raises psycopg.OperationalError when lost."""
        if self._connection is None or self._connection.closed:
            raise psycopg.OperationalError("the connection is lost")
        return self._connection

    def cut(self) -> None:
        """Break the connection: whoever waits for an answer on it gets an error now. For another thread."""
        if (tap := self._tap) is not None:
            with suppress(OSError):
                tap.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if self._tap is not None:
            self._tap.close()
        if self._connection is not None:
            self._connection.close()
        self._tap = self._connection = None


def connect(address: Address) -> Connection:
    """A connection in autocommit mode. Raises psycopg.Error, Refused for a server that dg cannot use."""
    connection = psycopg.connect(address.conninfo, autocommit=True)
    info = connection.info
    encoding = info.parameter_status("server_encoding")
    if info.server_version >= OLDEST and encoding == "UTF8":
        return connection
    connection.close()
    if encoding != "UTF8":
        raise Refused(
            f"{address} keeps text as {encoding}, dg needs UTF8: "
            "make another with `createdb --encoding=UTF8 --template=template0`",
            reason="database_unusable",
        )
    raise Refused(
        f"{address} runs PostgreSQL {info.server_version // 10000}; dg needs {OLDEST // 10000} or newer",
        reason="database_unusable",
    )


def translate(error: psycopg.Error) -> Problem:
    """What a caller is told. Addresses and statements stay out of it: it may be anybody."""
    if isinstance(error, psycopg.errors.QueryCanceled):
        return Unavailable("the query took too long; ask for less", reason="query_timeout")
    what = f"{type(error).__name__}{f' {error.sqlstate}' if error.sqlstate else ''}"
    return Unavailable(f"the database cannot do that now ({what}); try again in a moment", reason="database")


def unreachable(address: Address, error: psycopg.Error) -> Refused:
    """What the person is told who starts dg. libpq's own words name hosts and users, never a password."""
    said = " ".join(str(error).split())
    return Refused(f"{address} cannot be used: {said}", reason="database_unusable")
