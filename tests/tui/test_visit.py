"""One whole visit, on a real terminal: to look, to follow what runs, to change something, and to leave."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.client.servers import PIPELINE
from tests.tui.conftest import House, served
from tests.tui.house import client, deploy, finish
from tests.tui.terminals import ESCAPE, Terminal, terminal
from tests.tui.test_hostile_server import done

from dg.core.deployments.models import Kind
from dg.core.types import Environment

DEVELOPMENT, STAGING, PRODUCTION = Environment
RELEASE = re.compile(r'(name = "release"\nphase = "deploy"\nrun = ).*')
FOLLOWING = """["sh", "-c", "while read -r line || ! test -e {0}/go; do \
test -z \\"$line\\" && sleep 0.02 || echo \\"$line\\"; line=; done < {0}/said"]"""
"""Says what is written into a file, line by line as it comes, until `go` is there."""
QUESTION = "Type production and press enter"
REASON = "production --reason"
"""Part of the command that says the same, when what was typed became the reason."""
COPIED = re.compile(rb"\x1b\]52;c;([^\x07]*)\x07")


@pytest.fixture
def saying(tmp_path: Path) -> Iterator[House]:
    """A house whose deployments say what the test writes, and end when it says so. #1 failed in staging, two
    went well in production."""
    with served(tmp_path) as house:
        asyncio.run(_settle(house))
        yield house
        end(house)


async def _settle(house: House) -> None:
    go = house.repository.joinpath("go")
    go.touch()
    await finish(house.home, "bad", STAGING)
    for ref in ("good", "slow"):
        await finish(house.home, ref, PRODUCTION)
    go.unlink()
    house.repository.joinpath("said").touch()
    step = RELEASE.sub(lambda found: found[1] + FOLLOWING.format(house.repository), PIPELINE)
    async with client(house.home) as dg:
        await dg.pipelines.register(step.format(repository=house.repository).replace("30s", "30m"))


def say(house: House, *lines: str) -> None:
    """What the deployment under way says next."""
    with house.repository.joinpath("said").open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))


def end(house: House) -> None:
    """Let what is under way come to its end."""
    house.repository.joinpath("go").touch()


async def rollbacks(home: Path) -> int:
    async with client(home) as dg:
        found = (await dg.deployments.list(limit=50)).items
    return sum(each.kind is Kind.ROLLBACK for each in found)


def numbers(shown: str) -> list[str]:
    """The deployments in the list, from top to bottom."""
    return re.findall(r"^│[ ▌]+(\d+) ", shown, re.MULTILINE)


def confirms(screen: Terminal, name: str) -> None:
    """Ask to roll production back, and type a name where it is asked for.

    Keys that come before the cursor has gone there are part of the reason: then it is left and begun again.
    """
    shown = REASON
    while REASON in shown:
        leave(screen)
        screen.press("R")
        screen.becomes(lambda shown: QUESTION in shown, "the question")
        screen.press("\r")
        screen.settle()
        screen.press(name)
        shown = screen.becomes(
            lambda shown: REASON in shown or name in shown.partition(QUESTION)[2], "what was typed"
        )


def leave(screen: Terminal) -> None:
    """Away from the question."""
    if QUESTION in str(screen.rows):
        screen.press(ESCAPE)
        screen.becomes(lambda shown: QUESTION not in shown, "away from the question")


@pytest.mark.long
def test_a_visit_from_the_first_look_to_the_last(saying: House, tmp_path: Path) -> None:
    asyncio.run(deploy(saying.home, "good", DEVELOPMENT))
    environ = {
        "DG_HOME": str(saying.home),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    with terminal("tui", environ=environ) as screen:
        screen.becomes(
            lambda shown: "● live" in shown and numbers(shown) == list("4321") and "PRODUCTION" in shown,
            "open",
        )
        find(screen)
        follow(screen, saying)
        copy(screen)
        change_nothing(screen, saying)
        roll_back(screen, saying)
        resize(screen)
        screen.press("q")
        assert screen.ended() == 0
        screen.assert_restored()
    assert not list(tmp_path.rglob("dashboard.log"))


def find(screen: Terminal) -> None:
    """A filter leaves what it asks for, and is taken away again."""
    screen.press("2")
    screen.becomes(lambda shown: "4 shown" in shown, "all deployments")
    screen.press("/")
    screen.becomes(lambda shown: "env=production status" in shown, "the filter's field")
    screen.press("env=production\r")
    screen.becomes(lambda shown: "2 shown" in shown and numbers(shown) == ["3", "2"], "what it finds")
    screen.press(ESCAPE)
    screen.becomes(lambda shown: "4 shown" in shown, "all of them again")


def follow(screen: Terminal, house: House) -> None:
    """The log of what runs is seen from its first line on, and its last line as it comes."""
    say(house, "the first word")
    screen.press("g\r")
    screen.becomes(lambda shown: "› #4" in shown and "the first word" in shown, "the first line")
    say(house, *(f"word {number}" for number in range(60)))
    shown = screen.becomes(lambda shown: "word 59" in shown and "following" in shown, "the last line")
    assert "the first word" not in shown
    say(house, "the last word")
    screen.becomes(lambda shown: "the last word" in shown, "a line of its own")


def copy(screen: Terminal) -> None:
    """The line under the cursor goes to the clipboard, and nothing else does."""
    screen.press("y")
    screen.until(lambda: COPIED.search(screen.written), "the copied line")
    assert [base64.b64decode(text) for text in COPIED.findall(screen.written)] == [b"the last word"]


def change_nothing(screen: Terminal, house: House) -> None:
    """Production's name is typed, and the question left: nothing has happened."""
    before = asyncio.run(done(house.home))
    screen.press(ESCAPE)
    screen.becomes(lambda shown: "4 shown" in shown, "the list")
    screen.press("j")
    screen.becomes(lambda shown: "━ #3 web" in shown, "the row")
    confirms(screen, "staging")
    screen.press("\r")
    screen.becomes(lambda shown: "not sent: that is not the name" in shown, "the wrong name")
    leave(screen)
    confirms(screen, "production")
    leave(screen)
    assert asyncio.run(done(house.home)) == before


def roll_back(screen: Terminal, house: House) -> None:
    """The same once more, and this time it is meant."""
    confirms(screen, "production")
    screen.press("\r")
    screen.becomes(
        lambda shown: "5 shown" in shown and numbers(shown)[0] == "5", "the deployment that goes back"
    )
    assert asyncio.run(rollbacks(house.home)) == 1
    end(house)
    screen.press("1")
    screen.becomes(lambda shown: "0 under way" in shown, "the end of both")


def resize(screen: Terminal) -> None:
    """Whatever size the terminal is given, the screen fills it to its last row."""
    for width, height in ((80, 24), (160, 45), (120, 36)):
        screen.resize(width, height)
        screen.becomes(
            lambda shown: "PRODUCTION" in shown and "Help" in shown.splitlines()[-1], f"{width}x{height}"
        )
