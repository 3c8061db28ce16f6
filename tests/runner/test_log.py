"""The log keeps every byte of what it keeps, and knows exactly how many lines it left out."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dg.runner import spool
from dg.runner.journal import Reserve
from dg.runner.log import LogWriter
from dg.runner.ticket import Limits


def _writer(run_dir: Path, **limits: int) -> LogWriter:
    return LogWriter(str(run_dir), Limits(**limits), Reserve(str(run_dir)))


def _read(run_dir: Path, next_line: int = 0, max_bytes: int = 1 << 20) -> Iterator[spool.LogChunk]:
    while chunks := spool.read_log(str(run_dir), next_line, max_bytes):
        yield from chunks
        next_line = chunks[-1].first + chunks[-1].lines


def _body(run_dir: Path) -> bytes:
    return b"".join(chunk.body for chunk in _read(run_dir))


def test_lines_are_numbered_over_all_steps(tmp_path: Path) -> None:
    log = _writer(tmp_path)
    log.begin_step(0)
    log.write(b"one\ntwo")
    log.begin_step(1)
    log.write(b"three\n")
    log.end_step()
    assert [(c.first, c.step, c.lines, c.body) for c in _read(tmp_path)] == [
        (0, 0, 2, b"one\ntwo\n"),
        (2, 1, 1, b"three\n"),
    ]
    assert log.lines == 3
    assert log.sha256 == hashlib.sha256(b"one\ntwo\nthree\n").hexdigest()


def test_line_of_exactly_the_limit_is_whole_and_a_longer_one_is_cut(tmp_path: Path) -> None:
    log = _writer(tmp_path, line_bytes=10)
    log.write(b"0123456789\n0123456789A\nok\n")
    log.write(b"x" * 7)
    log.write(b"y" * 7 + b"\nend\n")
    log.end_step()
    assert _body(tmp_path).decode().splitlines() == [
        "0123456789",
        "0123456789 …[cut: 11 bytes]",
        "ok",
        "xxxxxxxyyy …[cut: 14 bytes]",
        "end",
    ]


def test_any_bytes_are_kept(tmp_path: Path) -> None:
    data = bytes(range(256)).replace(b"\n", b"") + b"\r\n\x1b[31mred\r50%\r100%\n\xff\xfe\n"
    log = _writer(tmp_path)
    log.write(data)
    log.end_step()
    assert _body(tmp_path) == data


def test_head_and_tail_are_kept_and_the_gap_is_exact(tmp_path: Path) -> None:
    log = _writer(tmp_path, head_bytes=1000, tail_bytes=3000, file_bytes=500)
    lines = [f"line {number:06d}\n".encode() for number in range(10_000)]
    for at in range(0, 10_000, 7):
        log.write(b"".join(lines[at : at + 7]))
        log.flush()
    log.end_step()
    chunks = list(_read(tmp_path))
    gaps = [chunk for chunk in chunks if chunk.skipped]
    assert len(gaps) == 1
    head = b"".join(chunk.body for chunk in chunks if chunk.first < gaps[0].first)
    tail = b"".join(chunk.body for chunk in chunks if chunk.first >= gaps[0].first)
    assert 900 <= len(head) <= 1000
    assert 2400 <= len(tail) <= 3000
    assert b"".join(lines).startswith(head)
    assert b"".join(lines).endswith(tail)
    assert head.count(b"\n") + gaps[0].skipped + tail.count(b"\n") == 10_000
    assert log.lines == 10_000
    assert log.sha256 == hashlib.sha256(b"".join(lines)).hexdigest()


def test_reader_waits_for_the_rest_of_a_line(tmp_path: Path) -> None:
    folder = tmp_path / spool.LOG
    folder.mkdir()
    (folder / "000000000000-000").write_bytes(b"whole\nhal")
    assert [chunk.body for chunk in spool.read_log(str(tmp_path), 0, 100)] == [b"whole\n"]
    assert spool.read_log(str(tmp_path), 1, 100) == []


def test_reader_gives_a_line_longer_than_it_asked_for(tmp_path: Path) -> None:
    log = _writer(tmp_path)
    log.write(b"x" * 100 + b"\nsecond\n")
    log.end_step()
    assert [chunk.lines for chunk in spool.read_log(str(tmp_path), 0, 10)] == [1]


def test_file_deleted_under_the_reader_counts_as_skipped(tmp_path: Path) -> None:
    log = _writer(tmp_path, file_bytes=20)
    log.write(b"".join(b"line %d\n" % number for number in range(9)))
    log.end_step()
    files = spool.list_log(str(tmp_path))
    Path(files[1].path).unlink()
    missing = files[2].first - files[1].first
    assert spool.read_log(str(tmp_path), files[1].first, 1000)[0].skipped == missing
    assert spool.read_log(str(tmp_path), files[1].first + 1, 1000)[0].skipped == missing - 1


def test_second_runner_of_a_folder_goes_on_counting(tmp_path: Path) -> None:
    first = _writer(tmp_path)
    first.write(b"a\nb\n")
    first.end_step()
    second = _writer(tmp_path)
    second.write(b"c\n")
    second.end_step()
    assert [(c.first, c.body) for c in _read(tmp_path)] == [(0, b"a\nb\n"), (2, b"c\n")]


@settings(max_examples=150)
@given(
    lines=st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=60),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=20),
    line_bytes=st.integers(5, 40),
    head_bytes=st.integers(0, 200),
    tail_bytes=st.integers(50, 300),
    file_bytes=st.integers(10, 120),
    max_bytes=st.integers(1, 200),
    flush_every=st.integers(1, 5),
)
def test_reader_agrees_with_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[bytes],
    sizes: list[int],
    line_bytes: int,
    head_bytes: int,
    tail_bytes: int,
    file_bytes: int,
    max_bytes: int,
    flush_every: int,
) -> None:
    """A reader that tails while the writer writes and deletes gets each line once or counts it as skipped."""
    run_dir = tmp_path_factory.mktemp("log")
    log = _writer(
        run_dir, line_bytes=line_bytes, head_bytes=head_bytes, tail_bytes=tail_bytes, file_bytes=file_bytes
    )
    expected = [_cut(line, line_bytes) for line in lines]
    seen: dict[int, bytes] = {}
    next_line = 0

    def tail(next_line: int) -> int:
        for chunk in spool.read_log(str(run_dir), next_line, max_bytes):
            assert chunk.first == next_line + chunk.skipped
            body = chunk.body.split(b"\n")[:-1]
            assert len(body) == chunk.lines > 0
            seen.update(enumerate(body, chunk.first))
            next_line = chunk.first + chunk.lines
        return next_line

    data = b"".join(line + b"\n" for line in lines)
    at = 0
    for turn, size in enumerate(itertools.cycle(sizes)):
        if at >= len(data):
            break
        log.write(data[at : at + size])
        at += size
        if turn % flush_every == 0:
            log.flush()
            next_line = tail(next_line)
    log.end_step()
    while (after := tail(next_line)) != next_line:
        next_line = after
    assert log.lines == len(lines)
    assert next_line == len(lines)
    assert all(expected[number] == line for number, line in seen.items())
    kept = sum(Path(file.path).stat().st_size for file in spool.list_log(str(run_dir)))
    longest = max((len(line) for line in expected), default=0) + 1
    assert kept <= head_bytes + max(tail_bytes, longest)


def _cut(line: bytes, limit: int) -> bytes:
    return line if len(line) <= limit else line[:limit] + f" …[cut: {len(line)} bytes]".encode()
