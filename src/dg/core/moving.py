"""Moves the state of a home from its SQLite files to PostgreSQL; called by `dg migrate-to`."""

from __future__ import annotations

from dataclasses import dataclass

from dg.core import ledger
from dg.core.audit.service import OriginsWitness
from dg.core.database import Tx, prepare
from dg.core.database.address import Address, address_of, has_password, parse_address
from dg.core.database.opening import HEADS
from dg.core.deployments.receipts import ReceiptsWitness
from dg.core.errors import Invalid, NotFound
from dg.core.home import Home
from dg.core.ledger import Head
from dg.core.migrations.upgrade import migrate
from dg.settings import Settings


@dataclass(frozen=True)
class Moved:
    """What stands in the database now: rows by table, and the end of the ledger."""

    database: str
    rows: dict[str, int]
    head: Head


def move(settings: Settings, url: str | None) -> Moved:
    """Copy all that the home's SQLite files hold to `url`, or to the settings' database; they are kept.

    Raises NotFound for a home without state, Refused when a server holds it or the database is not empty,
    Invalid when the ledger, or a receipt, is not whole or the database is not one.
    """
    address, home = _target(settings, url), Home(settings.home)
    # It brings the driver along.
    from dg.core.database.copying import copy_home

    if not home.state.exists():
        raise NotFound(f"{home.path} holds no record of anything; choose another home with --home")
    with home.lock():
        for kind, path in (("state", home.state), ("logs", home.logs)):
            if not path.exists():
                prepare(path)
            migrate(path, kind, HEADS[kind])
        heads: list[Head] = []
        rows = copy_home(home.state, home.logs, address, HEADS, lambda tx: heads.append(_checked(tx)))
        return Moved(str(address), rows, heads[0])


def _target(settings: Settings, url: str | None) -> Address:
    address = parse_address(url) if url else address_of(settings.database)
    if address is None:
        raise Invalid("say where to: as the command's URL, or as database.url in the settings", field="url")
    if url and has_password(address):
        raise Invalid(
            "URL: others on this machine can see a password that stands in a command; "
            "put it into PGPASSWORD or ~/.pgpass, or the whole URL into the file of database.url_file",
            field="url",
        )
    return address


def _checked(tx: Tx) -> Head:
    verdict = ledger.check(tx, (ReceiptsWitness(), OriginsWitness()))
    if not verdict.ok:
        raise Invalid(
            f"the ledger is not whole, so nothing was moved: {verdict.message}; see `dg audit verify`",
            reason="bad_ledger",
        )
    return Head(verdict.head_seq, verdict.head_hash)
