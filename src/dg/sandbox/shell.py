"""Runs `dg` as the people of the story do: in a shell of their own that knows only what it is told."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dg.sandbox.people import Person
from dg.sandbox.server import environ


@dataclass(frozen=True)
class Answer:
    """A command's exit code, and the lines that it printed."""

    code: int
    lines: Sequence[str]


async def dg(person: Person, *arguments: str) -> Answer:
    """`dg ARGUMENTS` by somebody who reaches the server with their token."""
    return await _run(arguments, person.folder, {"DG_URL": person.client.url, "DG_TOKEN": person.token})


async def dg_alone(folder: Path, *arguments: str) -> Answer:
    """`dg ARGUMENTS` by somebody who has no more than `folder`; where it is a home, that is its owner."""
    return await _run(arguments, folder, {})


async def _run(arguments: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Answer:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "dg", *arguments),
        cwd=folder,
        env={**environ(os.environ), "DG_HOME": str(folder), "PYTHONIOENCODING": "utf-8", **variables},
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Answer(process.returncode or 0, said.decode("utf-8", "replace").splitlines())
