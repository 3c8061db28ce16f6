"""`dg sandbox` as a stranger runs it: the whole story in real processes, nothing of which is left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.tui.terminals import Terminal, terminal

Said = dict[str, Any]
ENTERED, LEFT = b"\x1b[?1049h", b"\x1b[?1049l"
"""To the alternate screen of a terminal, and back."""
STYLE = re.compile(rb"\x1b\[[\d;]*m")


@dataclass
class Sandbox:
    """A running `dg sandbox --json` and what it said so far."""

    process: subprocess.Popen[str]
    said: list[Said] = field(default_factory=list)

    def until(self, fact: str, where: str = "", **details: object) -> Said:
        """Read on to the first fact like this one."""
        assert self.process.stdout
        for line in self.process.stdout:
            said: Said = json.loads(line)
            self.said.append(said)
            if said["fact"] == fact and where in ("", said.get("where")) and details.items() <= said.items():
                return said
        raise AssertionError(f"it ended without {fact!r}: {self.said[-3:]}")

    def facts(self, name: str) -> list[Said]:
        return [said for said in self.said if said["fact"] == name]

    @property
    def home(self) -> Path:
        return Path(self.facts("home")[0]["path"])

    @property
    def pids(self) -> list[int]:
        """Of what it started."""
        ready = {said["where"]: said for said in self.facts("ready")}
        return [*ready["hosts"]["pids"], ready["server"]["pid"]]

    def stop(self, order: signal.Signals) -> int:
        self.process.send_signal(order)
        assert self.process.stdout
        self.said += [json.loads(line) for line in self.process.stdout]
        return self.process.wait(30)


def dg(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "dg", *arguments), capture_output=True, text=True, env=environ()
    )


def environ() -> dict[str, str]:
    """Without what would point a `dg` to another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DG_")}


@contextmanager
def started(*arguments: str) -> Iterator[Sandbox]:
    command = (sys.executable, "-m", "dg", "sandbox", "--json", *arguments)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ()) as process:
        try:
            yield Sandbox(process)
        finally:
            process.terminate()


def processes(home: Path) -> list[str]:
    """Command lines on this machine that name the home: hosts, server, runners and steps all do."""
    listed = subprocess.run(("ps", "-eo", "pid=,args="), capture_output=True, text=True, check=True)
    own = str(os.getpid())
    return [line for line in listed.stdout.splitlines() if str(home) in line and line.split()[0] != own]


def alive(pids: Sequence[int]) -> list[int]:
    listed = subprocess.run(("ps", "-eo", "pid=,stat="), capture_output=True, text=True, check=True)
    running = {int(pid) for pid, state in map(str.split, listed.stdout.splitlines()) if state[0] != "Z"}
    return [pid for pid in pids if pid in running]


def assert_nothing_is_left(home: Path, pids: Sequence[int], seconds: float = 0) -> None:
    deadline = time.monotonic() + seconds
    while (left := (alive(pids), processes(home))) != ([], []):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_stranger_watches_two_good_releases_and_a_bad_one(tmp_path: Path) -> None:
    """One story for all that can be seen in it: its facts, their words, and the sandbox that stays up."""
    with started("--keep", "--home", str(tmp_path / "home")) as sandbox:
        sandbox.until("kept")
        assert_outline(sandbox)
        assert_words(sandbox)
        assert_commands(sandbox)
        assert_printed_commands_work(sandbox)
        assert_refused(dg("sandbox", "--home", str(sandbox.home)), 3, "another sandbox uses")
        port = sandbox.facts("kept")[0]["url"].rpartition(":")[2]
        assert_refused(dg("sandbox", "--port", port), 4, "server ended")
        assert sandbox.stop(signal.SIGINT) == 0
    assert_nothing_is_left(sandbox.home, sandbox.pids)
    assert sandbox.home.exists()


def assert_outline(sandbox: Sandbox) -> None:
    names = (
        *("waits", "denied", "approved", "closed", "overridden", "deployed", "failed", "rolled_back"),
        *("answers", "locked", "refused", "receipt", "forged", "end"),
        *("probed", "healthy", "unhealthy", "backed_up", "lost", "restored"),
    )
    told = [
        (said["fact"], said["where"], said.get("version")) for said in sandbox.said if said["fact"] in names
    ]
    both = {("deployed", "development", "v1.0.0"), ("deployed", "staging", "v1.0.0")}
    assert set(told[:2]) == both
    assert told[2:] == [
        ("waits", "production", "v1.0.0"),
        ("denied", "production", None),
        ("approved", "production", "v1.0.0"),
        ("deployed", "production", "v1.0.0"),
        ("probed", "environments", None),
        ("deployed", "staging", "v1.1.0"),
        ("closed", "production", None),
        ("waits", "production", "v1.1.0"),
        ("approved", "production", "v1.1.0"),
        ("waits", "production", "v1.1.0"),
        ("overridden", "production", "v1.1.0"),
        ("deployed", "production", "v1.1.0"),
        ("healthy", "environments", None),
        ("deployed", "staging", "v1.2.0"),
        ("backed_up", "production", 2),
        ("approved", "production", "v1.2.0"),
        ("overridden", "production", "v1.2.0"),
        ("unhealthy", "production", None),
        ("failed", "production", "v1.2.0"),
        ("rolled_back", "production", "v1.1.0"),
        ("answers", "production", "v1.1.0"),
        ("healthy", "production", None),
        ("locked", "production", None),
        ("refused", "production", None),
        ("lost", "production", None),
        ("restored", "production", 4),
        ("receipt", "production", "v1.1.0"),
        ("forged", "production", None),
        ("end", "", None),
    ]


def assert_words(sandbox: Sandbox) -> None:
    """Failure is told in the words of check and release, what closes the lane in those of the server."""
    words = {
        name: "\n".join(said["text"] for said in sandbox.facts(name)) for name in ("check", "log", "commit")
    }
    assert "500" in words["check"]
    assert "TypeError: unsupported operand type(s) for //: 'str' and 'int'" in words["log"]
    assert '"GET /products HTTP/1.1" 500' in words["log"]
    assert "Answer one product by its id" in words["commit"]
    assert "Take off the discount that a host sets" in words["commit"]
    sentence = sandbox.facts("locked")[0]["text"]
    assert "shop/production is locked until" in sentence
    assert "dg lane unlock shop production" in sentence
    approval, _, window = (said["text"] for said in sandbox.facts("waits"))
    assert "An approver or an admin can approve it" in approval
    assert "production takes no deployments until" in window
    assert "stocktaking" in window
    (sick,), (failed,) = sandbox.facts("unhealthy"), sandbox.facts("failed")
    assert sick["deployment"] == failed["deployment"]
    assert sick["text"] == f"shop is unhealthy since #{sick['number']} began: answers 500, not 2xx"


def assert_commands(sandbox: Sandbox) -> None:
    """What the people of the story read: a plan with its gates, the way back, and a receipt that holds."""
    told = [(said["text"].split()[1], said["exit"]) for said in sandbox.facts("command")]
    assert told == [
        *(("plan", 0), ("rollback", 0), ("health", 0), ("backup", 0)),
        *(("receipt", 0), ("receipt", 2)),
    ]
    said = "\n".join(said["text"] for said in sandbox.facts("output"))
    for words in (
        "window     ○ closed",
        "v1.0.0 comes back as it was",
        "production is healthy",
        "+  secrets.host_token",
        "Nothing was changed since",
        "proves nothing",
    ):
        assert words in said


def assert_printed_commands_work(sandbox: Sandbox) -> None:
    home = ("--home", str(sandbox.home))
    answers = [
        dg(*command, *home) for command in (("status",), ("show", "latest"), ("logs", "latest"), ("events",))
    ]
    assert [answer.returncode for answer in answers] == [0, 0, 0, 0], [answer.stderr for answer in answers]
    assert "v1.1.0" in answers[0].stdout
    kept, well = dg("backup", "list", *home), dg("health", *home)
    assert (kept.returncode, "before-the-teapot" in kept.stdout) == (0, True), kept.stderr
    assert (well.returncode, well.stdout.count("shop  ● healthy")) == (0, 3), well.stdout
    why = dg("why", "shop", "production", *home)
    assert (why.returncode, "dg lane unlock shop production" in why.stdout) == (3, True), why.stderr


def assert_refused(done: subprocess.CompletedProcess[str], code: int, words: str) -> None:
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
    assert words in done.stderr


@pytest.mark.long
def test_ctrl_c_in_the_middle_ends_everything_and_removes_the_home() -> None:
    with started() as sandbox:
        sandbox.until("deployed", "development")
        home, pids = sandbox.home, sandbox.pids
        assert len(alive(pids)) == 4
        assert sandbox.stop(signal.SIGINT) == 130
    assert_nothing_is_left(home, pids)
    assert not home.exists()


@pytest.mark.long
def test_everything_ends_by_itself_when_the_sandbox_is_killed(tmp_path: Path) -> None:
    with started("--home", str(tmp_path / "home")) as sandbox:
        sandbox.until("deployed", "development")
        home, pids = sandbox.home, sandbox.pids
        sandbox.stop(signal.SIGKILL)
    assert_nothing_is_left(home, pids, seconds=30)


@pytest.mark.long
def test_story_that_goes_differently_is_named_and_fails(tmp_path: Path) -> None:
    with started("--home", str(tmp_path / "home")) as sandbox:
        sandbox.until("deployed", "staging", version="v1.0.0")
        production = sandbox.facts("ready")[0]["pids"][-1]
        os.killpg(production, signal.SIGKILL)
        different = sandbox.until("different")
        assert sandbox.process.wait(30) == 1
        assert_nothing_is_left(sandbox.home, sandbox.pids)
    assert "v1.0.0 to production should end with success, but ended with failed" in different["text"]


@pytest.mark.long
def test_a_slack_beside_it_is_told_the_story() -> None:
    with started("--slack") as sandbox:
        page = sandbox.until("ready", "slack")["url"]
        sandbox.until("deployed", "production")
        deadline = time.monotonic() + 30
        while "production" not in (told := said_in_slack(page)) or "success" not in told:
            assert time.monotonic() < deadline, told
            time.sleep(0.1)
        assert sandbox.stop(signal.SIGINT) == 130
    assert_nothing_is_left(sandbox.home, sandbox.pids, 10)


@pytest.mark.long
def test_on_a_terminal_the_dashboard_opens_after_the_story_and_leaving_it_ends_everything() -> None:
    with terminal("sandbox", environ={"PYTHONUNBUFFERED": "1"}) as seen:
        watch_story(seen)
        assert seen.written.index(b"q leaves it and ends the sandbox.") < seen.written.index(ENTERED)
        home = home_named_in(seen.written)
        assert home.exists()
        seen.press("q")
        seen.until(lambda: seen.process.poll() is not None)
        seen.read(0.2)
    assert seen.process.returncode == 0
    assert b"Everything that it started has ended." in seen.written[seen.written.index(LEFT) :]
    assert_nothing_is_left(home, ())
    assert not home.exists()


@pytest.mark.long
def test_the_dashboard_gives_the_terminal_back_when_the_sandbox_is_killed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with terminal("sandbox", "--home", str(home), environ={"PYTHONUNBUFFERED": "1"}) as seen:
        watch_story(seen)
        seen.process.kill()
        seen.until(lambda: LEFT in seen.written)
    assert_nothing_is_left(home, (), seconds=30)


def watch_story(seen: Terminal) -> None:
    """Until the dashboard shows what came of it."""
    for told in (b"v1.0.0 runs", b"v1.1.0 runs", b"v1.1.0 runs again", b"q leaves it", ENTERED):
        seen.until(lambda told=told: told in seen.written)  # type: ignore[misc]
    seen.until(lambda: b"v1.1.0" in seen.written[seen.written.index(ENTERED) :])


def home_named_in(written: bytes | bytearray) -> Path:
    words = STYLE.sub(b"", written).split()  # a line that is too long is styled anew in its next row
    found = re.search(rb"All is in ([^,]+),", b" ".join(words))
    assert found
    return Path(found[1].decode())


def said_in_slack(page: str) -> str:
    """What stands in the channel, as ana sees it."""
    with urllib.request.urlopen(f"{page}/sim/messages?channel=deploys&person=ana", timeout=10) as answer:
        content: bytes = answer.read()
    return content.decode()
