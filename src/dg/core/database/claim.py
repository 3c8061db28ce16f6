"""Makes one server the active one of a PostgreSQL database: a lock that its writing session holds.

Whoever holds the lock is whoever can write: no server that lost it can commit anything, because its writing
session, and with it the transaction it had open, is gone. A mark that changes with every commit tells, after
a connection was lost, whether the last commit took place and whether somebody else was active meanwhile.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict

import psycopg

from dg.core.database.session import Connection
from dg.core.errors import Refused
from dg.core.home import Place

_KEY = "hashtextextended('dg ' || current_schema(), 0)"
_TAKE = f"SELECT pg_try_advisory_lock({_KEY})"
_FREE = f"SELECT pg_advisory_unlock({_KEY})"
_EVICT = f"""
    SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (classid::bigint << 32 | objid::bigint) = {_KEY}
"""  # noqa: S608
_SELF = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s"
_GET = "SELECT value FROM meta WHERE key = %s"
_PUT = "INSERT INTO meta (key, value) VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_MARK = "commit_mark"
_ACTIVE = "active_server"


class Superseded(Exception):
    """Another server became the active one: this one must not act any more."""


class Claim:
    """One server's right to the database, from `take` until its writing session ends.

    `keys` tells the keys of its home from others.
    """

    def __init__(self, place: Place, keys: str) -> None:
        self._place = place
        self._keys = keys
        self._id = secrets.token_hex(8)
        self._commits = 0
        self._backend: tuple[object, ...] | None = None

    def take(self, connection: Connection) -> bool:
        """Become the active server; False while another is."""
        if not _value(connection, _TAKE):
            return False
        self._backend = connection.execute(_SELF).fetchone()
        return True

    def release(self, connection: Connection) -> None:
        """Let the next one take it, at once."""
        connection.execute(_FREE)

    def is_own(self, before: Mapping[str, str] | None) -> bool:
        """Whether the server `before` was one of this very home, whose process is gone: its lock is held."""
        return before is not None and asdict(self._place).items() <= before.items()

    def evict(self, connection: Connection) -> None:
        """End the session that holds the lock."""
        connection.execute(_EVICT)

    def enter(self, connection: Connection) -> None:
        """Say in the database who is active; from here on others are told apart by the mark.

        Raises Refused as `check` does.
        """
        self.check(active(connection))
        about = {**asdict(self._place), "keys": self._keys}
        connection.execute(_PUT, (_ACTIVE, json.dumps(about)))
        connection.execute(_PUT, (_MARK, self._mark()))

    def check(self, before: Mapping[str, str] | None) -> None:
        """Raise Refused when the server `before` in another home had other keys: all tokens would be void."""
        if before is None or before["home"] == self._place.home or before["keys"] == self._keys:
            return
        raise Refused(
            f"the keys of this home are not those of {before['host']}:{before['path']}, whose database this "
            "is, and with them every token would be void: copy its `keys` and its secrets here",
            reason="other_keys",
        )

    def renew(self, connection: Connection) -> None:
        """Take the lock again after the session that held it was lost.

        Raises Superseded when another server has it or had it meanwhile, psycopg.Error when it must be tried
        again.
        """
        if not self.take(connection):
            if self._backend is None or not connection.execute(_END, self._backend).fetchone():
                raise Superseded
            # The server had not noticed yet that the connection is gone.
            raise psycopg.OperationalError("the session before this one is being ended")
        if not self._last(connection).startswith(f"{self._id} "):
            self.release(connection)
            raise Superseded

    def next_mark(self) -> str:
        """The statement that makes the coming commit known; without parameters, to go with the BEGIN."""
        self._commits += 1
        # The values are dg's own hexadecimal and digits.
        return f"UPDATE meta SET value = '{self._mark()}' WHERE key = '{_MARK}'"  # noqa: S608

    def took_place(self, connection: Connection) -> bool:
        """Whether the commit of the newest mark took place; asked while the lock is held."""
        return self._last(connection) == self._mark()

    def _mark(self) -> str:
        return f"{self._id} {self._commits}"

    def _last(self, connection: Connection) -> str:
        return str(_value(connection, _GET, _MARK))


def active(connection: Connection) -> Mapping[str, str] | None:
    """Who was active last: `host`, `path`, `home`, `keys`; None in a database without tables."""
    try:
        found = _value(connection, _GET, _ACTIVE)
    except psycopg.errors.UndefinedTable:
        return None
    about: Mapping[str, str] | None = json.loads(str(found)) if found else None
    return about


def _value(connection: Connection, sql: str, *values: str) -> object:
    row = connection.execute(sql, values or None).fetchone()
    return row[0] if row else None
