"""`dg tui` on a real terminal: the bytes that it writes, and the terminal that it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.tui.conftest import House
from tests.tui.hostile import STRINGS
from tests.tui.terminals import ESCAPE, WITHIN, Terminal, terminal

from dg.tui.app import picture_file
from dg.tui.store import Store
from dg.tui.views import DeploymentView, EnvironmentView, FactView, LaneView, ServiceView

NOWHERE = "http://127.0.0.1:9"
TOKEN = "tok.en"


MOUSE = b"\x1b[?1000h"
"""Asks the terminal for what the mouse does."""
THEIRS = (
    b"\x1b]0;owned",
    b"\x1b]52;",
    b"\xc2\x9b",
    b"owned\x07",
    b"ZWQ=\x07",
    b"\x1bP1$r",
    "\u202e".encode(),
    b"\x1b[31mred",
)
MOMENT = 1_790_000_000_000_000


def hostile_picture(folder: Path) -> None:
    """The last picture of a server, all of whose texts attack."""
    store = Store(at=MOMENT)
    # A lone surrogate cannot stand in a file of UTF-8.
    for at, text in enumerate(text for text in STRINGS if "\ud800" not in text):
        environment = ("development", "staging", "production")[at % 3]
        state = ("failed", "pending", "building", text)[at % 4]
        store.deployments[f"{at}"] = DeploymentView(
            f"{at}",
            at,
            text,
            environment,
            text,
            state,
            state,
            text,
            text,
            text,
            text,
            MOMENT,
            started_at=MOMENT,
            hold=text,
            message=text,
            reason=text,
            note=text,
            content=text,
            rolled_back_by=text,
        )
        lane = LaneView(text, environment, ("locked", text)[at % 2], text, at % 2 == 0, text, text, f"{at}")
        store.lanes[lane.key] = lane
        ill = ServiceView(text, ("unhealthy", text)[at % 2], MOMENT, text, at)
        store.environments[environment] = EnvironmentView(
            environment, text, text, MOMENT, (ill, ill), (text, text)
        )
        store.add_fact(FactView(at, MOMENT, text, text, text, text, at, text, "warn"))
    path = picture_file({"XDG_CACHE_HOME": str(folder)}, NOWHERE, TOKEN)
    assert path is not None
    store.keep(path)


@pytest.mark.parametrize("extra", [(), ("--ascii",), ("--theme", "16")])
def test_nothing_of_the_outside_acts_on_the_terminal(tmp_path: Path, extra: tuple[str, ...]) -> None:
    hostile_picture(tmp_path)
    environ = {"DG_URL": NOWHERE, "DG_TOKEN": TOKEN, "XDG_CACHE_HOME": str(tmp_path)}
    with terminal("tui", *extra, environ=environ) as screen:
        screen.until(lambda: b"stale" in screen.written and b"OFFLINE" in screen.written)
        for keys in ("2", "G", "\r", "i", "\x1b", "?", "\x1b", "\x10", "open"):
            screen.press(keys)
            screen.read(0.4)
        assert [theirs for theirs in THEIRS if theirs in screen.written] == []
        assert screen.process.poll() is None, bytes(screen.written[-1500:])
        assert screen.end(signal.SIGTERM) == 128 + signal.SIGTERM
        screen.assert_restored()
        assert b"Traceback" not in screen.written


def test_q_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    environ = {"DG_URL": NOWHERE, "DG_TOKEN": TOKEN, "XDG_CACHE_HOME": str(tmp_path)}
    with terminal("tui", environ=environ) as screen:
        screen.until(lambda: b"OFFLINE" in screen.written)
        screen.press("q")
        assert screen.ended() == 0
        screen.assert_restored()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_gives_the_terminal_back(tmp_path: Path, how: signal.Signals) -> None:
    environ = {"DG_URL": NOWHERE, "DG_TOKEN": TOKEN, "XDG_CACHE_HOME": str(tmp_path)}
    with terminal("tui", environ=environ) as screen:
        screen.until(lambda: b"OFFLINE" in screen.written)
        screen.press("d2")
        assert screen.end(how) == 128 + how
        screen.assert_restored()
        assert b"Traceback" not in screen.written


def test_the_terminal_knows_its_size_better_than_a_shells_variables(tmp_path: Path) -> None:
    environ = {"DG_URL": NOWHERE, "DG_TOKEN": TOKEN, "XDG_CACHE_HOME": str(tmp_path)}
    with terminal("tui", environ=environ | {"COLUMNS": "80", "LINES": "24"}) as screen:
        screen.until(lambda: b"OFFLINE" in screen.written)
        screen.until(lambda: screen.lowest_after("21") == 36, "thirty-six rows")
        screen.resize(90, 30)
        screen.until(lambda: screen.lowest_after("21") == 30, "thirty rows")


@pytest.mark.long
def test_a_storm_of_sizes_ends_in_the_last_one(tmp_path: Path) -> None:
    """Two hundred sizes, down to a single cell, as fast as they can be set, with keys between them."""
    environ = {
        "DG_URL": NOWHERE,
        "DG_TOKEN": TOKEN,
        "XDG_CACHE_HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    hostile_picture(tmp_path)
    with terminal("tui", environ=environ) as screen:
        screen.until(lambda: b"OFFLINE" in screen.written)
        for at in range(200):
            screen.resize(*((1, 1), (1 + at, 1 + at // 3), (200 - at, 60 - at // 4), (3, 80))[at % 4])
            screen.press("1230?\x1b[27u"[at % 9])
            screen.read(0.01)
        screen.resize(90, 30)
        screen.press(ESCAPE)
        screen.until(lambda: screen.lowest_after("21") == 30, "thirty rows")
        assert screen.process.poll() is None, bytes(screen.written[-1500:])
        screen.press(f"{ESCAPE}q")
        assert screen.ended() == 0
        screen.assert_restored()
        assert not list(tmp_path.rglob("*.log"))


def test_the_mouse_is_the_terminals_where_the_file_says_so(tmp_path: Path) -> None:
    tmp_path.joinpath("dg").mkdir()
    tmp_path.joinpath("dg", "dashboard.toml").write_text("mouse = false\n")
    environ = {"DG_URL": NOWHERE, "DG_TOKEN": TOKEN, "XDG_CONFIG_HOME": str(tmp_path)}
    with terminal("tui", environ=environ) as screen:
        screen.until(lambda: b"OFFLINE" in screen.written)
        assert MOUSE not in screen.written
        screen.press("m")
        screen.until(lambda: MOUSE in screen.written)
        screen.press("q")
        screen.until(lambda: screen.process.poll() is not None)
        screen.read(0.2)
        assert MOUSE.replace(b"h", b"l") in screen.written


def patched(folder: Path, line: str) -> str:
    """A folder for PYTHONPATH, with which a program starts with this done to the dashboard."""
    folder.mkdir()
    source = "from dg.tui.overview.screen import Overview\ndef fail(*_):\n    raise LookupError('a bug')\n"
    folder.joinpath("sitecustomize.py").write_text(f"{source}{line}\n")
    return str(folder)


def test_a_widget_that_fails_again_and_again_does_not_end_it(tmp_path: Path) -> None:
    environ = {
        "DG_URL": NOWHERE,
        "DG_TOKEN": TOKEN,
        "XDG_CACHE_HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PYTHONPATH": patched(tmp_path / "patch", "Overview._card = fail"),
    }
    with terminal("tui", environ=environ) as screen:
        screen.until(lambda: b"LookupError: a bug" in screen.written and b"OFFLINE" in screen.written)
        for keys in ("2", "1", "?", "\x1b"):
            screen.press(keys)
            screen.read(0.4)
        assert screen.process.poll() is None, bytes(screen.written[-1500:])
        screen.press("q")
        assert screen.ended() == 0
        screen.assert_restored()
        log = tmp_path / "state" / "dg" / "dashboard.log"
        assert log.stat().st_mode & 0o777 == 0o600
        assert log.read_text().count("LookupError: a bug") == 1


@pytest.mark.long
@pytest.mark.parametrize(
    "line",
    [
        "from textual.widgets import Input; Input._on_key = fail",
        "from textual.widgets import Input; Input.render_line = fail",
        "from textual.command import CommandPalette; CommandPalette._on_mount = fail",
        "from textual.command import CommandList; CommandList.render_line = fail",
    ],
    ids=lambda line: line.rpartition("; ")[2].partition(" ")[0],
)
def test_a_widget_of_textuals_own_that_fails_does_not_end_it(tmp_path: Path, line: str) -> None:
    environ = {
        "DG_URL": NOWHERE,
        "DG_TOKEN": TOKEN,
        "XDG_CACHE_HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PYTHONPATH": patched(tmp_path / "patch", line),
    }
    hostile_picture(tmp_path)
    with terminal("tui", environ=environ) as screen:
        screen.until(lambda: b"OFFLINE" in screen.written)
        log, end = tmp_path / "state" / "dg" / "dashboard.log", time.monotonic() + WITHIN
        # What is closed before it was drawn has not failed.
        while not log.exists() or "LookupError: a bug" not in log.read_text():
            assert time.monotonic() < end, bytes(screen.written[-1500:])
            for keys in ("2", "/", "x", ESCAPE, "\x10", "x", ESCAPE, "?", ESCAPE, "\r", ESCAPE, "1"):
                screen.press(keys)
                screen.settle()
        assert screen.process.poll() is None, bytes(screen.written[-1500:])
        # What is deaf by then is left within a second.
        until_shown(screen, "3", "trouble")
        screen.press("q")
        assert screen.ended() == 0
        screen.assert_restored()


def test_what_cannot_even_start_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    environ = {
        "DG_URL": NOWHERE,
        "DG_TOKEN": TOKEN,
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PYTHONPATH": patched(tmp_path / "patch", "Overview.compose = fail"),
    }
    with terminal("tui", environ=environ) as screen:
        assert screen.ended() == 1
        screen.assert_restored()
        assert b"LookupError: a bug" in screen.written
        assert b"Traceback" not in screen.written
        (crash,) = (tmp_path / "state" / "dg").iterdir()
        assert crash.stat().st_mode & 0o777 == 0o600


def test_without_a_terminal_the_lines_are_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dg", "tui"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "DG_URL": NOWHERE, "DG_TOKEN": TOKEN},
    )
    assert done.returncode == 2
    assert done.stderr.startswith("dg: the dashboard needs a terminal; `dg status`")


def until_shown(screen: Terminal, key: str, text: str) -> None:
    """Press a key again and again until what it leads to is there."""
    end = time.monotonic() + WITHIN
    while text.encode() not in screen.written:
        assert time.monotonic() < end, bytes(screen.written[-2000:])
        screen.press(ESCAPE)
        screen.settle()
        screen.press(key)
        screen.read(0.5)


@pytest.mark.long
def test_an_idle_dashboard_costs_next_to_nothing(house: House, tmp_path: Path) -> None:
    """For 30 seconds: at most 2 % of a core, and 5 KB a minute to the terminal."""
    environ = {"DG_HOME": str(house.home), "XDG_CACHE_HOME": str(tmp_path)}
    with terminal("tui", environ=environ, size=(160, 45)) as screen:
        screen.until(lambda: b"live" in screen.written)
        screen.read(10)
        written, spent = len(screen.written), cpu(screen.process.pid)
        screen.read(30)
        assert len(screen.written) - written < 2500, bytes(screen.written[written:][:500])
        assert cpu(screen.process.pid) - spent < 0.6


def cpu(pid: int) -> float:
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
