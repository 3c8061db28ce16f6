"""Short commands: whatever happens to their caller, none of their processes stays."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest

from dg.core import command
from dg.core.testing import eventually


def _named(mark: str) -> list[int]:
    """The processes whose command line holds `mark`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("turns", range(12))
async def test_command_cancelled_at_any_turn_of_its_start_leaves_no_process(turns: int) -> None:
    mark = f"mark-{os.getpid()}-{turns}"
    script = f"sleep 300 & : {mark}; sh -c 'sleep 300; : {mark}' & wait"
    async with asyncio.TaskGroup() as group:
        running = group.create_task(
            command.run(["sh", "-c", script], env={"PATH": os.defpath}, timeout=60.0, cap=100)
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
    assert running.cancelled()

    async def gone() -> bool:
        return not _named(mark)

    await eventually(gone)
