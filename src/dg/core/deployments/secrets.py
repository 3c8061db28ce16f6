"""Where a step's secrets come from: the Protocol that the service needs, and a file that satisfies it."""

from __future__ import annotations

import asyncio
import difflib
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from dg.core.errors import Refused
from dg.core.text import plain
from dg.core.types import NAME_PATTERN, Environment
from dg.runner.handover import Sealed

SHORTEST = 6
"""Bytes. A shorter value cannot be masked in a log without hiding ordinary text."""

_LARGEST_FILE = 1024 * 1024
_KEY = re.compile(r"[a-z][a-z0-9_]{0,62}")
_SERVICE = re.compile(NAME_PATTERN)

Tables = Mapping[str, Mapping[str, object]]


class Secrets(Protocol):
    """What the service knows of secrets. Values are read at each run, so that a rotated one holds at once."""

    async def get(self, service: str, environment: Environment, names: Iterable[str]) -> dict[str, str]:
        """The values of `names`; of those that only the runner can open, their ciphertexts as Sealed.

        Raises:
            Refused: names are missing, or a value cannot be used; never repeats a value.
        """
        ...

    async def names(self, service: str, environment: Environment) -> frozenset[str]:
        """Every name that `get` would find."""
        ...


class Kept(Protocol):
    """The secrets that dg itself keeps for an environment (see `core/environments/vault.py`)."""

    async def get(self, service: str, environment: Environment, names: Iterable[str]) -> dict[str, str]:
        """Those of `names` that are set, as the steps of `service` get them now."""
        ...

    async def names(self, environment: Environment) -> frozenset[str]: ...


class FileSecrets:
    """A TOML file with a table per environment and, inside it, one per service, which wins:

        [production]
        database_url = "postgres://…"

        [production.web]
        session_key = "…"

    The file must belong to the server's user (or root) and be closed to everybody else: 0600 or stricter.

    What the environment itself keeps wins over the file's table of the environment, and the table of the
    service over both: the nearest counts.
    """

    def __init__(self, path: Path, kept: Kept | None = None) -> None:
        self._path = path
        self._kept = kept

    async def get(self, service: str, environment: Environment, names: Iterable[str]) -> dict[str, str]:
        """As in `Secrets`; the file is not opened when no names are asked for."""
        wanted = sorted(set(names))
        if not wanted:
            return {}
        common, own = await self._tables(service, environment)
        asked = [name for name in wanted if name not in own]
        kept = await self._kept.get(service, environment, asked) if self._kept else {}
        known = common | kept | own
        missing = [name for name in wanted if name not in known]
        if missing:
            raise Refused(
                f"`{service}` has no secret {_listed(missing)} in {environment}; "
                f"set it with `dg secret set {environment} {missing[0]}`, "
                f"or write it under [{environment}] in {self._path}, a file of mode 0600",
                reason="missing_secret",
                missing=missing,
            )
        return {name: _usable(name, environment, known[name]) for name in wanted}

    async def names(self, service: str, environment: Environment) -> frozenset[str]:
        """As in `Secrets`; a file that is not there has none."""
        common, own = await self._tables(service, environment)
        kept = await self._kept.names(environment) if self._kept else frozenset()
        return kept | common.keys() | own.keys()

    async def _tables(self, service: str, environment: Environment) -> tuple[dict[str, str], dict[str, str]]:
        """What the file has for all services, and for this one."""
        tables = await asyncio.to_thread(self._load)
        table = tables.get(environment.value, {})
        common = {name: value for name, value in table.items() if isinstance(value, str)}
        own = table.get(service)
        return common, own if isinstance(own, dict) else {}

    def _load(self) -> Tables:
        data = _toml(self._read(), self._path)
        for environment, table in data.items():
            self._check_table(environment, table)
        return data

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                if problem := exposed(self._path, os.fstat(file.fileno())):
                    raise self._refused(problem)
                data = file.read(_LARGEST_FILE + 1)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise self._refused(f"cannot be read: {error.strerror}") from None
        if len(data) > _LARGEST_FILE:
            raise self._refused("is larger than 1 MiB")
        return data

    def _check_table(self, environment: str, table: object) -> None:
        shown = plain(environment, limit=60)
        if not isinstance(table, dict) and environment not in set(Environment):
            tables = ", ".join(f"[{name}]" for name in Environment)
            raise self._refused(f"has `{shown}` outside of a table; write it under one of {tables}")
        if environment not in set(Environment):
            near = difflib.get_close_matches(environment, list(Environment), n=1)
            hint = f"; did you mean [{near[0]}]?" if near else f"; known are {', '.join(Environment)}"
            raise self._refused(f"has a table [{shown}]{hint}")
        if not isinstance(table, dict):
            raise self._refused(f"has a value `{shown}`, which must be a table")
        for key, value in table.items():
            if isinstance(value, dict):
                self._check_service(f"{environment}.{plain(key, limit=70)}", key, value)
            else:
                self._check_value(environment, key, value)

    def _check_service(self, table: str, service: str, values: Mapping[str, object]) -> None:
        if not _SERVICE.fullmatch(service):
            raise self._refused(f"has a table [{table}], which is not the name of a service")
        for key, value in values.items():
            self._check_value(table, key, value)

    def _check_value(self, table: str, key: str, value: object) -> None:
        shown = plain(key, limit=70)
        if not _KEY.fullmatch(key):
            raise self._refused(
                f"has `{shown}` in [{table}]; a name has lower case letters, digits and underscores"
            )
        if not isinstance(value, str):
            raise self._refused(f"has `{shown}` in [{table}], which must be a string in quotes")

    def _refused(self, what: str) -> Refused:
        return Refused(f"the secrets file {self._path} {what}", reason="secrets_file")


def exposed(path: Path, status: os.stat_result) -> str | None:
    """What keeps the file `path` from holding a secret, as the rest of a sentence; None when nothing does."""
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if stat.S_IMODE(status.st_mode) & 0o077:
        return f"is open to others; run: chmod 600 {path}"
    if status.st_uid not in {0, os.geteuid()}:
        return "belongs to another user than the server's"
    return None


def _toml(data: bytes, path: Path) -> dict[str, dict[str, object]]:
    """Parsed without keeping the parser's error, which may quote the text."""
    try:
        return tomllib.loads(data.decode("utf-8"))
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"at (line \d+, column \d+|end of document)\)$", str(error))
        place = f"it is not TOML at {match[1]}" if match else "it is not TOML"
    except RecursionError:
        place = "it is nested too deeply"
    except UnicodeDecodeError:
        place = "it is not UTF-8 text"
    except ValueError:
        place = "it holds a number that is too long"
    raise Refused(f"the secrets file {path} cannot be used: {place}", reason="secrets_file")


def _usable(name: str, environment: Environment, value: str) -> str:
    if isinstance(value, Sealed):
        return value
    if len(value.encode("utf-8")) < SHORTEST:
        raise Refused(
            f"the secret `{name}` of {environment} is shorter than {SHORTEST} bytes, too short to be masked",
            reason="unusable_secret",
        )
    if "\0" in value:
        raise Refused(
            f"the secret `{name}` of {environment} holds a NUL, which no environment variable can",
            reason="unusable_secret",
        )
    return value


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
