"""Looks names up for probes, in threads of their own: a resolver that hangs must hold up nobody else."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

_THREADS = 32


class Lookups:
    """The machine's own resolver. Probes that ask for one name at one time share an answer."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, "probe-lookup")
        self._running: dict[tuple[str, int], asyncio.Future[Sequence[str]]] = {}

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The addresses of `host`. Raises OSError, UnicodeError."""
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        running = self._running.get((host, port))
        if running is None:
            loop = asyncio.get_running_loop()
            running = self._running[host, port] = loop.run_in_executor(self._threads, _look_up, host, port)
            running.add_done_callback(lambda done: self._forget((host, port), done))
        return await asyncio.shield(running)

    def _forget(self, key: tuple[str, int], done: asyncio.Future[Sequence[str]]) -> None:
        del self._running[key]
        if not done.cancelled():
            # Whoever asked may be gone by now; then nobody else reads what went wrong.
            done.exception()

    def close(self) -> None:
        """Begin no more; what still hangs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(entry[4][0]) for entry in found]
