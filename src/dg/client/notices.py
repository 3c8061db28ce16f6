"""Tells whoever uses what is going to end, once, in the log: the server says so with each answer."""

from __future__ import annotations

import logging
import re

import httpx

from dg.core.text import plain

log = logging.getLogger(__name__)

SUCCESSOR = re.compile(r'<([^<>]{1,200})>; ?rel="successor-version"')
LONGEST = 200
MOST = 100
"""Notices that are remembered as told."""


class Notices:
    """What was told already."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str, str]] = set()

    def observe(self, response: httpx.Response) -> None:
        """Read what an answer says of its operation (RFC 9745, RFC 8594)."""
        if "deprecation" not in response.headers:
            return
        method = response.request.method
        sunset = response.headers.get("sunset", "a day that it does not say")
        successor = SUCCESSOR.search(response.headers.get("link", ""))
        instead = successor[1] if successor else ""
        if (method, sunset, instead) in self._told or len(self._told) >= MOST:
            return
        self._told.add((method, sunset, instead))
        log.warning(
            "%s %s is deprecated and may be gone after %s%s",
            method,
            plain(response.request.url.path, limit=LONGEST),
            plain(sunset, limit=LONGEST),
            f"; use {plain(instead, limit=LONGEST)}" if instead else "",
        )
