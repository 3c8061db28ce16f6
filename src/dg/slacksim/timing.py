"""Deadlines on a clock that was passed in."""

from __future__ import annotations

import asyncio
from typing import Any

from dg.core.clock import Clock
from dg.core.tasks import open_tasks


async def within(clock: Clock, seconds: float, future: asyncio.Future[Any]) -> Any:
    """The result of `future`. Raises TimeoutError when it is not there after `seconds`."""
    async with open_tasks() as tasks:
        timer = tasks.spawn("deadline", clock.sleep(seconds))
        await asyncio.wait({timer, future}, return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            raise TimeoutError
        return future.result()
