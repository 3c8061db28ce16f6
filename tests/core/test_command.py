"""Short commands: whatever happens to their caller, none of their processes stays."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

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


LEAVING = {
    "of a session of its own": 'setsid sh -c "sleep 300; : $MARK" & wait',
    "that somebody adopted": 'setsid sh -c "(sleep 300; : $MARK) & exit" & wait; sleep 300',
    "without an environment": 'setsid env -i sh -c "sleep 300; : $MARK" & wait',
    "that TERM does not end": 'setsid sh -c "trap : TERM; while :; do sleep 1; done; : $MARK" & wait',
    "that its parent left behind": 'setsid sh -c "sleep 300; : $MARK" & exit 0',
}


@pytest.mark.parametrize("script", LEAVING.values(), ids=LEAVING)
async def test_a_command_is_ended_with_a_process(script: str) -> None:
    mark = f"mark-{uuid4().hex}"
    env = {"PATH": os.defpath, "MARK": mark}
    running = asyncio.ensure_future(command.run(["sh", "-c", script], env=env, timeout=60.0, cap=100))

    async def begun() -> bool:
        return len(_named(mark)) > 0

    await eventually(begun, 30)
    running.cancel()
    await asyncio.wait([running])
    assert _named(mark) == []
