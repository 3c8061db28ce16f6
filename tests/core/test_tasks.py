"""Tasks: named, kept, missed when they die, and ended with their block."""

from __future__ import annotations

import asyncio

import pytest

from dg.core.tasks import open_tasks, this_task
from dg.core.testing import settle


async def forever(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        ended.append("ended")


async def test_tasks_end_with_the_block_and_are_waited_for() -> None:
    ended: list[str] = []
    async with open_tasks() as tasks:
        for number in range(3):
            tasks.spawn(f"n{number}", forever(ended))
        await settle()
        assert ended == []
    assert ended == ["ended"] * 3


async def test_tasks_end_when_the_block_fails() -> None:
    ended: list[str] = []

    async def block() -> None:
        async with open_tasks() as tasks:
            tasks.spawn("n", forever(ended))
            await settle()
            raise RuntimeError("block")

    with pytest.raises(RuntimeError, match="block"):
        await block()
    assert ended == ["ended"]


async def test_one_task_is_stopped_and_gone() -> None:
    ended: list[str] = []
    async with open_tasks() as tasks:
        task = tasks.spawn("n", forever(ended))
        await settle()
        await tasks.stop(task)
        assert (ended, task.done()) == (["ended"], True)


async def test_a_task_that_dies_is_logged_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    async def die() -> None:
        raise RuntimeError("why it died")

    async with open_tasks() as tasks:
        tasks.spawn("the watcher", die())
        await settle()
    assert "'the watcher' died" in caplog.text
    assert "why it died" in caplog.text


async def test_a_task_that_ends_or_is_cancelled_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with open_tasks() as tasks:
        tasks.spawn("short", asyncio.sleep(0))
        tasks.spawn("long", asyncio.Event().wait())
        await settle()
    assert caplog.text == ""


async def test_what_has_ended_is_not_kept() -> None:
    async with open_tasks() as tasks:
        tasks.spawn("short", asyncio.sleep(0))
        await settle()
        assert tasks._tasks == set()


async def test_a_task_finds_itself_and_a_callback_finds_none() -> None:
    async with open_tasks() as tasks:
        found: list[asyncio.Task[None]] = []

        async def look() -> None:
            found.append(this_task())

        task = tasks.spawn("look", look())
        await task
        assert found == [task]
    said: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def call() -> None:
        try:
            this_task()
        except RuntimeError as error:
            said.set_result(str(error))

    asyncio.get_running_loop().call_soon(call)
    assert await asyncio.wait_for(said, 30) == "no task runs this"
