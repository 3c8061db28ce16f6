"""Long-running work with a name and an owner: the only place that starts asyncio tasks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

log = logging.getLogger(__name__)


def this_task() -> asyncio.Task[Any]:
    """The task that calls. Raises RuntimeError where none does, as in a callback."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("no task runs this")
    return task


class Tasks:
    """Keeps a reference to every task it starts and logs the one that dies. Made by `open_tasks`."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def stop(self, task: asyncio.Task[Any]) -> None:
        """Cancel `task` and wait until it is gone."""
        task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        """Cancel whatever still runs and wait for it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("task %r died", task.get_name(), exc_info=error)


@asynccontextmanager
async def open_tasks() -> AsyncIterator[Tasks]:
    """Tasks that end with the block."""
    tasks = Tasks()
    try:
        yield tasks
    finally:
        await tasks.close()
