"""The SDK for code that is not asynchronous: the same client, each call run to its end on its own loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from dg.client.app import Client

T = TypeVar("T")


class Blocking:
    """Runs a client's calls one after the other, in the thread that makes them.

        with Blocking(Client(url, token)) as dg:
            deployment = dg.run(dg.client.deployments.create(request))
            for progress in dg.each(dg.client.deployments.watch(deployment.id)):
                print(progress.progress)

    Not for use inside a running event loop: there, await the client itself.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._runner = asyncio.Runner()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """The result of one call. Ctrl-C ends the call and raises KeyboardInterrupt."""
        return self._runner.run(call)

    def each(self, stream: AsyncIterator[T]) -> Iterator[T]:
        """The items of a stream as they come; leaving the loop closes the stream."""
        try:
            while True:
                try:
                    item = self.run(_next(stream))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            if isinstance(stream, AsyncGenerator):
                self.run(_close(stream))

    def close(self) -> None:
        """Close the client and its loop."""
        try:
            self.run(self.client.__aexit__(None, None, None))
        finally:
            self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def _next(stream: AsyncIterator[T]) -> T:
    return await anext(stream)


async def _close(stream: AsyncGenerator[Any, Any]) -> None:
    await stream.aclose()
