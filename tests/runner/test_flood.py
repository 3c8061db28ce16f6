"""Output of any size and a full disk neither stop a step nor lose its result."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.runner.lab import PYTHON, Lab, Run, step

MEGABYTE = 1 << 20


def _peak(run: Run) -> int:
    """Most memory the runner ever had, in bytes."""
    assert run.process is not None
    status = Path(f"/proc/{run.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def test_million_lines(lab: Lab) -> None:
    begun = time.monotonic()
    run = lab.start(
        step(["seq", "-f", "%080.0f", "1000000"]),
        step("echo after; sleep 60"),
        secrets={"key": "correct-horse", "other": "battery staple's"},
    )
    run.until_log(b"after\n")
    assert time.monotonic() - begun < 60
    assert _peak(run) < 40 * MEGABYTE
    run.cancel()
    end = run.wait()
    lines = [b"%080d\n" % number for number in range(1, 1_000_001)]
    chunks = run.chunks()
    assert sum(chunk.lines + chunk.skipped for chunk in chunks) == end["log_lines"]
    for chunk in chunks:
        if chunk.step == 0:
            assert chunk.body == b"".join(lines[chunk.first : chunk.first + chunk.lines])
    kept = b"".join(chunk.body for chunk in chunks)
    assert 15 * MEGABYTE <= len(kept) <= 16 * MEGABYTE
    assert [chunk.skipped > 0 for chunk in chunks].count(True) == 1
    rest = b"after\ndg: step `step` was cancelled\n"
    assert end["log_sha256"] == hashlib.sha256(b"".join(lines) + rest).hexdigest()


def test_line_of_100_megabytes(lab: Lab) -> None:
    write = "import os\nfor _ in range(100): os.write(1, b'x' * 1000000)\nos.write(1, b'\\nlater\\n')"
    run = lab.start(step([PYTHON, "-c", write]), step("echo after; sleep 60"))
    run.until_log(b"after\n")
    assert _peak(run) < 40 * MEGABYTE
    run.cancel()
    run.wait()
    lines = run.log().split(b"\n")
    assert lines[0] == b"x" * 16384 + " …[cut: 100000000 bytes]".encode()
    assert lines[1:3] == [b"later", b"after"]


def test_yes_is_held_back_and_not_kept_in_memory(lab: Lab) -> None:
    run = lab.start(step("timeout 2 yes || true"), step("echo after; sleep 60"))
    run.until_log(b"after\n")
    assert _peak(run) < 40 * MEGABYTE
    run.cancel()
    assert run.wait()["log_lines"] > 1_000_000


def test_lines_are_seen_while_the_step_runs(lab: Lab) -> None:
    run = lab.start(step("echo first; sleep 300", timeout=300.0))
    run.until_log(b"first\n")
    assert run.events("step_ended") == []
    run.cancel()
    run.wait()


# --- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True
    )
    if mount.returncode:
        pytest.skip("this machine does not let root mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_full_disk_drops_log_lines_and_keeps_the_result(small_disk: Path) -> None:
    lab = Lab(small_disk)
    try:
        run = lab.start(
            step("seq 1000000", name="flood"),
            step("exit 7", name="fails", phase="verify"),
        )
        end = run.wait()
        assert (end["reason"], end["step"]) == ("verify_failed", 1)
        assert end["detail"] == "step `fails` exited with 7"
        assert [event["event"] for event in run.events()] == ["started", *["step_started", "step_ended"] * 2]
        chunks = run.chunks()
        kept = sum(chunk.lines for chunk in chunks)
        assert 10_000 < kept < end["log_lines"]
        assert end["log_lines"] == 1_000_000 + 1
        whole = b"".join(b"%d\n" % number for number in range(1, 1_000_001))
        assert whole.startswith(chunks[0].body)
        assert end["log_sha256"] == hashlib.sha256(whole + b"dg: step `fails` exited with 7\n").hexdigest()
    finally:
        lab.clean()


def test_run_that_could_not_be_recorded_does_not_begin(small_disk: Path) -> None:
    lab = Lab(small_disk)
    run = lab.run(step("echo effect"))
    ballast = (small_disk / "ballast").open("wb", buffering=0)
    with ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(b"x" * 4096)
    assert run.start().exit_code() == 73
    assert run.events() == []


def test_log_goes_on_when_the_disk_has_room_again(small_disk: Path) -> None:
    lab = Lab(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 800_000)
    try:
        run = lab.start(
            step(f"seq 1000000; rm {ballast}; sleep 1.5; echo room again", name="flood"),
        )
        end = run.wait()
        assert end["outcome"] == "success"
        chunks = run.chunks()
        assert chunks[-1].body.endswith(b"room again\n")
        assert sum(chunk.lines + chunk.skipped for chunk in chunks) == end["log_lines"] == 1_000_001
        assert any(chunk.skipped for chunk in chunks)
    finally:
        lab.clean()
