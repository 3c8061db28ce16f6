"""Folders for what a backup takes for a while: nobody else reads them, and none is left behind."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import mkdtemp

FOLDER = "scratch"
"""Its name in a home."""


@asynccontextmanager
async def scratch(parent: Path) -> AsyncIterator[Path]:
    """A folder below `parent` that goes with the block; after a kill, with the next one's beginning.

    Whatever lies in it is removed in another thread: it may be a whole home.
    """
    folder, held = await asyncio.to_thread(_begin, parent)
    try:
        yield folder
    finally:
        await asyncio.shield(asyncio.to_thread(_end, folder, held))


def _begin(parent: Path) -> tuple[Path, int]:
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(parent):
        _sweep(parent)
        folder = Path(mkdtemp(dir=parent))
        return folder, _hold(folder)


def _end(folder: Path, held: int) -> None:
    try:
        shutil.rmtree(folder)
    finally:
        os.close(held)


def _sweep(parent: Path) -> None:
    for folder in parent.iterdir():
        try:
            held = _hold(folder)
        except BlockingIOError:
            continue
        shutil.rmtree(folder)
        os.close(held)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Between two who begin, so that neither removes what the other just made."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _hold(folder: Path) -> int:
    """A descriptor that holds the folder's lock. Raises BlockingIOError when another one does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    return descriptor
