"""The run folder, written by several at once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dg.runner import spool

EVENT = {"n": 1, "t": 1, "event": "started", "epoch": 1}


def test_many_may_ask_for_the_same_cancel_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        for asked in [pool.submit(spool.request_cancel, str(tmp_path)) for _ in range(200)]:
            asked.result()
    assert [path.name for path in tmp_path.iterdir()] == [spool.CANCEL]


@pytest.mark.parametrize(
    "put",
    [os.mkfifo, os.mkdir, lambda path: Path(path).symlink_to("/dev/zero"), lambda path: Path(path).touch()],
    ids=["pipe", "folder", "link", "nothing"],
)
def test_what_a_step_put_in_place_of_a_file_is_not_read(tmp_path: Path, put: Callable[[str], None]) -> None:
    (tmp_path / spool.LOG).mkdir()
    for name in (spool.EVENTS, spool.END, spool.TICKET, f"{spool.LOG}/000000000000-000"):
        put(str(tmp_path / name))
    assert spool.read_events(str(tmp_path), 0) == []
    assert spool.read_end(str(tmp_path), 1) is None
    assert spool.read_json(str(tmp_path), spool.TICKET) is None
    assert spool.read_log(str(tmp_path), 0, 1 << 20) == []


@pytest.mark.parametrize(
    "line",
    [
        b"junk",
        b"[" * 100_000,
        b"[1]",
        b"\xff",
        b'{"n": "x", "t": 1, "event": "started"}',
        b'{"n": 9, "t": 1, "event": {}}',
        b'{"n": 9, "t": 1, "event": "step_started"}',
        b'{"n": 9, "t": 1, "event": "step_ended", "index": 0, "ok": true, "seconds": "1"}',
    ],
)
def test_line_that_no_runner_writes_is_passed_over(tmp_path: Path, line: bytes) -> None:
    good = json.dumps(EVENT).encode()
    (tmp_path / spool.EVENTS).write_bytes(line + b"\n" + good + b"\n" + line + b"\n")
    assert spool.read_events(str(tmp_path), 0) == [EVENT]


_END = {
    "t": 1,
    "epoch": 1,
    "outcome": "success",
    "reason": None,
    "detail": "",
    "touched": True,
    "outputs": {"image": "web:1"},
}


def test_end_as_a_runner_writes_it_is_read(tmp_path: Path) -> None:
    spool.replace(str(tmp_path), spool.END, _END)
    assert spool.read_end(str(tmp_path), 1) == _END


@pytest.mark.parametrize(
    "end",
    [
        *(b"", b"nope", b"[]", b'{"epoch": 1}', b'{"epoch": 1, "outcome": 3}'),
        json.dumps({**_END, "outputs": {"image": 7}}).encode(),
        json.dumps({**_END, "outputs": {"image": ["a"]}}).encode(),
    ],
)
def test_end_that_no_runner_writes_is_none(tmp_path: Path, end: bytes) -> None:
    (tmp_path / spool.END).write_bytes(end)
    assert spool.read_end(str(tmp_path), 1) is None


def test_no_more_of_a_file_is_read_than_a_runner_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "LARGEST_FILE", 8)
    (tmp_path / spool.LOG).mkdir()
    (tmp_path / spool.LOG / "000000000000-000").write_bytes(b"one\ntwo\nthree\n")
    assert [chunk.body for chunk in spool.read_log(str(tmp_path), 0, 1 << 20)] == [b"one\ntwo\n"]
