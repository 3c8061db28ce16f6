"""A disk so small that a test can fill it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


class SmallDisk:
    """A mounted folder of 1 MiB."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Leave no byte free."""
        with self._ballast.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(b"x" * 1024):
                pass

    def free(self) -> None:
        self._ballast.unlink()
