"""Where a PostgreSQL database is: the URL of the settings, checked, and shown without its password."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from dg.core.errors import Invalid, Refused
from dg.settings.tree import Database as Settings

SCHEMES = ("postgresql://", "postgres://")

_DEFAULTS: Mapping[str, Any] = {
    "application_name": "dg",
    # A peer that vanished without a word is given up after some six seconds, on both sides of the wire.
    "connect_timeout": 3,
    "keepalives_idle": 3,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 6000,
}


@dataclass(frozen=True)
class Address:
    """A PostgreSQL database. `conninfo` is libpq's form of it and may hold a password; `name` never does."""

    conninfo: str = field(repr=False)
    name: str

    def __str__(self) -> str:
        return self.name


def address_of(settings: Settings) -> Address | None:
    """The database that the settings name; None for SQLite in the home. Raises as `parse_address` does."""
    if settings.url is not None and settings.url_file is not None:
        raise Invalid("database.url and database.url_file: set one of them, not both", field="database.url")
    if settings.url_file is not None:
        return parse_address(_read(settings.url_file))
    return None if settings.url is None else parse_address(settings.url.get_secret_value())


def _read(file: Path) -> str:
    try:
        if file.stat().st_mode & 0o077:
            raise Refused(f"{file} is open to others; run `chmod 600 {file}`", reason="database_unusable")
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(
            f"database.url_file: {file} cannot be read: {error}", reason="database_unusable"
        ) from None


def parse_address(url: str) -> Address:
    """Read a URL such as `postgresql://dg@db.example.com/dg`, with libpq's parameters after a `?`.

    A password that it does not hold comes from PGPASSWORD or the password file, as with `psql`. Raises
    Invalid for anything else, Refused when the driver is not installed.
    """
    psycopg = driver()
    if not url.startswith(SCHEMES):
        raise Invalid(
            "database.url: write it as postgresql://USER@HOST:PORT/DATABASE; "
            "without the setting, dg keeps its state in an SQLite file in the home",
            field="database.url",
        )
    try:
        given = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        # What libpq says repeats parts of the URL, and one of them may be the password.
        raise Invalid(
            "database.url: libpq cannot read it; write special characters of its parts as %XX",
            field="database.url",
        ) from None
    return Address(psycopg.conninfo.make_conninfo("", **{**_DEFAULTS, **given}), _name(given))


def has_password(address: Address) -> bool:
    """Whether a password stands in it."""
    return "password" in driver().conninfo.conninfo_to_dict(address.conninfo)


def driver() -> ModuleType:
    """psycopg. Raises Refused, with the way out, when it is not installed."""
    # Not at the head: without PostgreSQL it need not be there, and it costs a quarter of a second.
    try:
        import psycopg
    except ImportError:
        raise Refused(
            "database.url needs the PostgreSQL driver, which is not installed: "
            "run `pip install 'dg[postgresql]'`, or `bin/environment --postgresql` in a clone",
            reason="driver_missing",
        ) from None
    return psycopg


def _name(given: Mapping[str, Any]) -> str:
    host = given.get("host") or given.get("hostaddr") or "this machine"
    port = f":{given['port']}" if given.get("port") else ""
    user = f" as {given['user']}" if given.get("user") else ""
    return f"PostgreSQL database {given.get('dbname') or given.get('user') or ''} on {host}{port}{user}"
