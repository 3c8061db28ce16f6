"""Says with each answer to a known caller how far the ledger reaches, so that clients can witness it."""

from __future__ import annotations

from collections.abc import Mapping

from dg.core.access.models import Principal
from dg.core.feed import Feed
from dg.core.sighting import HEAD, SEEN, read_seq

Headers = list[tuple[bytes, bytes]]

_HEAD, _SEEN = HEAD.lower().encode(), SEEN.lower()


async def answer_headers(feed: Feed, principal: Principal, headers: Mapping[str, str]) -> Headers:
    """The headers of an answer; the second one for a request that asks which hash an entry has."""
    if not principal.grants:
        return []
    found = [(_HEAD, str(feed.sighting).encode())]
    if _SEEN not in headers:
        return found
    seq = read_seq(headers[_SEEN])
    entry = None if seq is None else await feed.entry(seq)
    if entry is not None:
        found.append((_SEEN.encode(), f"{entry.seq}:{entry.hash}".encode()))
    return found
