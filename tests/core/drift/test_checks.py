"""How checks ask: a real server on loopback, real commands, and whatever they say."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.core.receivers import (
    Behaviour,
    Received,
    Receiver,
    answering,
    endless,
    garbage,
    hanging,
    receiving,
)
from tests.processes import seen_in_processes

from dg.core.drift.drivers import Checks
from dg.core.environments.models import RunningCheck
from dg.core.http import Outbound
from dg.settings.tree import Outbound as OutboundSettings

ENVIRON = {"PATH": os.environ["PATH"], "SHOWN": "v9"}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


def checks(*allow: str) -> Checks:
    settings = OutboundSettings.model_validate({"allow": allow, "ports": ["1-65535"]})
    return Checks(Outbound(settings), ENVIRON, commands=True)


async def said(receiver: Receiver, behaviour: Behaviour, **check: Any) -> str:
    """What is found, or the problem."""
    receiver.behaviour = behaviour
    asked = RunningCheck.model_validate({"url": f"{receiver.url}/version", "timeout": 5, **check})
    reading = await checks("127.0.0.1").read(asked)
    return reading.found or reading.problem or ""


async def ran(*command: str, **check: Any) -> str:
    asked = RunningCheck.model_validate({"command": command, "timeout": 5, **check})
    reading = await checks().read(asked)
    return reading.found or reading.problem or ""


@pytest.mark.parametrize(
    ("body", "check", "found"),
    [
        (b"v1.2.3\n", {}, "v1.2.3"),
        (b'{"build": {"commit": "5f0a2cd", "n": 7}}', {"pointer": "/build/commit"}, "5f0a2cd"),
        (b'{"build": {"commit": "5f0a2cd", "n": 7}}', {"pointer": "/build/n"}, "7"),
        (b'{"a/b": ["x", "v1"]}', {"pointer": "/a~1b/1"}, "v1"),
        (b'"v1"', {"pointer": ""}, "v1"),
        (b"name: shop\nversion: v1.2.3 (x)\n", {"pattern": r"^version: (\S+)"}, "v1.2.3"),
        (b"shop-v1.2.3.js", {"pattern": r"v[0-9.]+[0-9]"}, "v1.2.3"),
    ],
)
async def test_a_version_is_the_whole_a_value_in_json_or_what_a_pattern_finds(
    receiver: Receiver, body: bytes, check: dict[str, str], found: str
) -> None:
    assert await said(receiver, answering(200, body), **check) == found


@pytest.mark.parametrize(
    ("body", "check", "problem"),
    [
        (b"", {}, "not a version"),
        (b"one\ntwo", {}, "not a version"),
        (b"\x1b[31mv1", {}, "not a version"),
        (b"v" * 201, {}, "not a version"),
        (b"v" * 70_000, {}, "longer than 64 KiB"),
        (b"no json", {"pointer": "/a"}, "not JSON"),
        (b"[" * 50_000, {"pointer": "/a"}, "not JSON"),
        (b'{"a": null}', {"pointer": "/a"}, "no text at /a"),
        (b'{"a": true}', {"pointer": "/a"}, "no text at /a"),
        (b"[1]", {"pointer": "/1"}, "no text at /1"),
        (b"nothing", {"pattern": "version: (.+)"}, "finds nothing"),
        (b"v1", {"pattern": "(x)?v1"}, "finds nothing"),
    ],
)
async def test_what_is_no_version_is_a_problem_and_not_a_difference(
    receiver: Receiver, body: bytes, check: dict[str, str], problem: str
) -> None:
    assert problem in await said(receiver, answering(200, body), **check)


async def test_a_search_that_never_ends_is_ended(receiver: Receiver) -> None:
    problem = await said(receiver, answering(200, b"a" * 64), pattern=r"(?:a+)+$b", timeout=1)
    assert problem == "the search for the pattern did not end within 1 s"


@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [
        (answering(503, b"v1"), "answered 503"),
        (answering(404, b"v1"), "answered 404"),
        (hanging, "did not answer within 1 s"),
        (garbage, "does not speak HTTP"),
        (endless, "longer than 64 KiB"),
    ],
)
async def test_an_address_that_does_not_say_it_is_a_problem(
    receiver: Receiver, behaviour: Behaviour, problem: str
) -> None:
    assert problem in await said(receiver, behaviour, timeout=1)


async def test_a_redirect_is_followed_and_guarded(receiver: Receiver) -> None:
    async def moved(request: Received, writer: Any) -> None:
        there = answering(200, b"v1") if request.path == "/there" else answering(302, location="/there")
        await there(request, writer)

    assert await said(receiver, moved) == "v1"
    inside = answering(302, location="http://169.254.169.254/latest/meta-data/")
    assert "where dg sends nothing" in await said(receiver, inside)


async def test_an_address_inside_is_not_asked(receiver: Receiver) -> None:
    reading = await checks().read(RunningCheck(url=f"{receiver.url}/version"))
    assert "where dg sends nothing" in (reading.problem or "")
    assert receiver.connections == 0


async def test_a_command_says_it_and_sees_only_what_steps_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIDDEN", "v8")
    assert await ran("sh", "-c", 'echo "$SHOWN$HIDDEN"') == "v9"
    assert await ran("sh", "-c", 'echo \'{"v": "v2"}\'', pointer="/v") == "v2"


async def test_commands_are_run_where_the_server_s_settings_allow_them_only() -> None:
    refusing = Checks(Outbound(OutboundSettings()), ENVIRON, commands=False)
    reading = await refusing.read(RunningCheck(command=("echo", "v1")))
    assert (reading.found, "drift.commands" in (reading.problem or "")) == (None, True)


async def test_a_command_that_fails_says_why() -> None:
    assert await ran("sh", "-c", "echo no route >&2; exit 3") == "`sh` ended with code 3: no route"
    assert await ran("dg-there-is-no-such-program") == (
        "`dg-there-is-no-such-program` cannot be run: No such file or directory"
    )


async def test_a_command_that_hangs_leaves_nothing_behind() -> None:
    assert await ran("sh", "-c", "sleep 60.7391 & wait", timeout=1) == "`sh` did not end within 1 s"
    assert seen_in_processes("60.7391") == set()
