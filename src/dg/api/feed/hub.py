"""Fans facts out to the WebSocket clients: each message becomes bytes once, and nobody waits for a peer.

The bytes go straight into each client's transport, past ASGI's `send`, which may wait; a client whose buffer
does not drain is cut off and may resume from the last `seq` it saw (docs/decisions/0005).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from dg.api.feed.messages import frame, message
from dg.core.access.models import Grant, Principal
from dg.core.ledger import Entry

if TYPE_CHECKING:
    from dg.api.metrics import Metrics

USUAL_FRAME = 512
"""Bytes that one message takes at most in practice; the cap is counted in such messages."""


class Feed(Protocol):
    """Of the core's feed, who may see what."""

    def visible(self, principal: Principal, entry: Entry) -> bool: ...


class Transport(Protocol):
    """Of asyncio's transport, what never waits."""

    def write(self, data: bytes) -> None: ...
    def abort(self) -> None: ...
    def is_closing(self) -> bool: ...
    def get_write_buffer_size(self) -> int: ...


@dataclass(eq=False)
class Client:
    """One WebSocket. `seq` is the last fact it caught up with; `backlog` what happened meanwhile."""

    principal: Principal
    transport: Transport
    seq: int = 0
    backlog: list[Entry] | None = field(default_factory=list)


class Hub:
    """The clients by what they may see."""

    def __init__(self, feed: Feed, metrics: Metrics, queue: int) -> None:
        self._feed = feed
        self._metrics = metrics
        self._queue = queue
        self._limit = queue * USUAL_FRAME
        self._audiences: dict[tuple[Grant, ...], set[Client]] = {}

    def join(self, client: Client) -> None:
        """From now on nothing that happens passes the client by; it is kept back until `live`."""
        self._audiences.setdefault(client.principal.grants, set()).add(client)
        self._count()

    def leave(self, client: Client) -> None:
        """Forget the client."""
        grants = client.principal.grants
        self._audiences.get(grants, set()).discard(client)
        if not self._audiences.get(grants):
            self._audiences.pop(grants, None)
        self._count()

    def live(self, client: Client) -> None:
        """Send the client what was kept back and is newer than its `seq`; from now on it gets all at once."""
        kept, client.backlog = client.backlog or [], None
        self._write(client, self._frames(client, kept))

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Send facts to all who may see them; called after each commit, in order."""
        frames = {entry.seq: frame(text) for entry in entries if (text := message(entry)) is not None}
        moves = [entry for entry in entries if entry.seq in frames]
        for grants, clients in list(self._audiences.items()):
            shared = [entry for entry in moves if self._feed.visible(_anyone(grants), entry)]
            doers = {entry.actor for entry in moves} if len(shared) < len(moves) else ()
            data = b"".join(frames[entry.seq] for entry in shared)
            for client in list(clients):
                self._send(client, entries, data, own=client.principal.id in doers)

    def _send(self, client: Client, entries: Sequence[Entry], data: bytes, *, own: bool) -> None:
        """`data` is what everyone with the client's grants may see of `entries`."""
        if client.backlog is not None:
            self._keep(client, client.backlog, entries)
        elif own or client.seq >= entries[0].seq:
            # It did some of it itself, or has read some of it from the database before it was handed round.
            self._write(client, self._frames(client, entries))
        else:
            self._write(client, data)

    def _frames(self, client: Client, entries: Iterable[Entry]) -> bytes:
        """What this very client has not seen and may see."""
        return b"".join(
            frame(text)
            for entry in entries
            if entry.seq > client.seq
            and (text := message(entry)) is not None
            and self._feed.visible(client.principal, entry)
        )

    def _keep(self, client: Client, backlog: list[Entry], entries: Sequence[Entry]) -> None:
        backlog.extend(entries)
        if len(backlog) > self._queue:
            backlog[:] = [entry for entry in backlog if entry.seq > client.seq]
        if len(backlog) > self._queue:
            self._cut(client)

    def _write(self, client: Client, data: bytes) -> None:
        # Looked at before writing: what is written now leaves at the end of this turn of the loop.
        if not data or client.transport.is_closing():
            return
        if client.transport.get_write_buffer_size() > self._limit:
            self._cut(client)
        else:
            client.transport.write(data)

    def _cut(self, client: Client) -> None:
        self._metrics.cut_off()
        client.transport.abort()
        self.leave(client)

    def _count(self) -> None:
        self._metrics.sockets.clients = sum(map(len, self._audiences.values()))


@lru_cache(maxsize=256)
def _anyone(grants: tuple[Grant, ...]) -> Principal:
    """Stands for all who hold these grants."""
    return Principal(id="", name="", grants=grants)
