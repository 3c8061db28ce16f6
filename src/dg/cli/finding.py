"""What `dg doctor` finds: one line each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's; `remedy` is the way out where something is not right."""

    name: str
    level: Literal["ok", "warn", "fail"]
    message: str
    remedy: str = ""
