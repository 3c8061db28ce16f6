"""What anybody on this machine may see of a process."""

from __future__ import annotations

from pathlib import Path


def seen_in_processes(*texts: str) -> set[str]:
    """Where one of the texts stands in the arguments or the environment of any process."""
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            for part in ("cmdline", "environ"):
                try:
                    text = (process / part).read_bytes()
                except (OSError, ValueError):
                    continue
                if any(one.encode() in text for one in texts):
                    found.add(f"{part} of {(process / 'comm').read_text().strip()}")
    return found
