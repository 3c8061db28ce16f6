"""The dashboard that the sandbox opens after its story: `dg tui` on the sandbox's own terminal."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

from dg.sandbox.server import environ

STOP_SECONDS = 10.0


async def look_around(home: Path) -> None:
    """Show the dashboard of the server with this home until its person leaves it.

    Cancelled, it ends the dashboard first, so that the terminal is given back as it was.
    """
    theirs, ours = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "dg.sandbox.lifeline", str(theirs), "tui", "--home", str(home)),
            env=environ(os.environ),
            pass_fds=(theirs,),
        )
        try:
            await process.wait()
        finally:
            await _end(process)
    finally:
        os.close(theirs)
        os.close(ours)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    with suppress(TimeoutError):
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
