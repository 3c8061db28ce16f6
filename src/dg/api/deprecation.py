"""What a contract says of an operation that is going to end, and the headers that tell its callers.

`contract.py` reads it with the operation; `versions.py` lists it.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from typing import Any

NOTICE_MONTHS = 6
"""What the specification promises between the notice and the end."""
LISTED_AT = "/v1/versions"


@dataclass(frozen=True)
class Deprecation:
    """An operation is deprecated from `since` on and ends with `sunset`, both at midnight UTC."""

    since: date
    sunset: date
    successor: str | None
    """The path of what to use instead."""

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Deprecation (RFC 9745), Sunset (RFC 8594), and links to the list and the successor."""
        links = [f'<{LISTED_AT}>; rel="deprecation"; type="application/json"']
        if self.successor is not None:
            links.append(f'<{self.successor}>; rel="successor-version"')
        return [
            (b"deprecation", f"@{int(_midnight(self.since).timestamp())}".encode()),
            (b"sunset", format_datetime(_midnight(self.sunset), usegmt=True).encode()),
            (b"link", ", ".join(links).encode()),
        ]


def read(operation: Mapping[str, Any]) -> Deprecation | None:
    """What `deprecated` and `x-deprecation` of an operation say; None for one that goes on.

    Raises ValueError when they disagree, or leave less than `NOTICE_MONTHS` between notice and end.
    """
    declared = operation.get("x-deprecation")
    if operation.get("deprecated", False) != (declared is not None):
        raise ValueError("`deprecated: true` and `x-deprecation` go together")
    if declared is None:
        return None
    unknown = declared.keys() - {"since", "sunset", "successor"}
    if unknown or not {"since", "sunset"} <= declared.keys():
        raise ValueError("`x-deprecation` has since, sunset and perhaps successor")
    since, sunset = date.fromisoformat(declared["since"]), date.fromisoformat(declared["sunset"])
    earliest = _months_after(since, NOTICE_MONTHS)
    if sunset < earliest:
        raise ValueError(f"its sunset {sunset} is too soon: deprecated on {since}, it lasts until {earliest}")
    return Deprecation(since, sunset, declared.get("successor"))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _months_after(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
