"""What is kept of an answered request: a line in the log (`logging.requests`), a span (`[tracing]`).

Nothing in it was written by a caller: paths, queries, headers and bodies may hold secrets.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dg.api.exchange import Exchange
    from dg.core.tracing import Span

log = logging.getLogger("dg.requests")

KNOWN = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"})
UNKNOWN = "-"
LINE = "%(method)s %(route)s %(status)s %(ms)s ms %(principal)s %(address)s"


def trace(exchange: Exchange, span: Span) -> None:
    """Say in its span how the request of `exchange` ended."""
    if not span.collected:
        return
    method = exchange.method if exchange.method in KNOWN else "_OTHER"
    span.rename(f"{method} {exchange.template}".strip())
    span.note("http.request.method", method)
    if exchange.template:
        span.note("http.route", exchange.template)
    span.note("http.response.status_code", exchange.status)
    span.note("dg.request_id", exchange.request_id)
    if exchange.principal:
        span.note("dg.principal", exchange.principal)
    if exchange.status >= 500:
        span.fail()


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
