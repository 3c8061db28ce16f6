"""The run folder, written by several at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dg.runner import spool


def test_many_may_ask_for_the_same_cancel_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        for asked in [pool.submit(spool.request_cancel, str(tmp_path)) for _ in range(200)]:
            asked.result()
    assert [path.name for path in tmp_path.iterdir()] == [spool.CANCEL]
