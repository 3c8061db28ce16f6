"""What stands in the files of a folder that somebody may still be working in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """The files below a folder, no links, with what is in each. What vanishes meanwhile is passed over."""
    for at, _, names in os.walk(folder):
        for path in (Path(at, name) for name in names):
            with suppress(FileNotFoundError):
                if path.is_file() and not path.is_symlink():
                    yield path, path.read_bytes()


def files_with(folder: Path, text: str) -> list[Path]:
    """Those in which this text stands."""
    return [path for path, content in contents(folder) if text.encode() in content]
