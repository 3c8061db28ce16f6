"""One line in the log for each answered request, for whoever wants them (`logging.requests`).

Nothing in it was written by a caller: paths, queries, headers and bodies may hold secrets.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dg.api.exchange import Exchange

log = logging.getLogger("dg.requests")

KNOWN = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"})
UNKNOWN = "-"
LINE = "%(method)s %(route)s %(status)s %(ms)s ms %(principal)s %(address)s"


def note(exchange: Exchange, address: str, seconds: float) -> None:
    """Say how the request of `exchange` ended, `seconds` after it came from `address`."""
    if not log.isEnabledFor(logging.INFO):
        return
    fields = {
        "method": exchange.method if exchange.method in KNOWN else UNKNOWN,
        "route": exchange.template or UNKNOWN,
        "status": exchange.status,
        "ms": round(seconds * 1000, 1),
        "principal": exchange.principal or UNKNOWN,
        "address": address or UNKNOWN,
    }
    log.info(LINE, fields, extra={"fields": fields})
