"""Where dg's home is when no flag names one: its settings lie there, and so does what finds its server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def default_home(environ: Mapping[str, str]) -> tuple[Path, str]:
    """The home, and where it came from (XDG base directories)."""
    if given := environ.get("DG_HOME"):
        return Path(given).expanduser().absolute(), "environment DG_HOME"
    data = Path(environ.get("XDG_DATA_HOME", ""))
    if not data.is_absolute():
        data = Path(environ.get("HOME") or "~").expanduser() / ".local" / "share"
    return data / "dg", "default"
