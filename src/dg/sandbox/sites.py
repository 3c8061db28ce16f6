"""The shop as its customers see it, and what a release wrote to its own log."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from dg.core.text import plain
from dg.sandbox.scene import Differs

LOG_LINES = 4
VISIT_SECONDS = 10


@dataclass(frozen=True)
class Visit:
    """What a visitor got from a site."""

    status: int
    body: object


def last_lines(log: Path) -> Sequence[str]:
    """The end of a release's own log, safe to show."""
    return [plain(line) for line in log.read_text("utf-8", "replace").splitlines()[-LOG_LINES:]]


def visit(url: str) -> Visit:
    """One GET with no proxy between."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=VISIT_SECONDS)
    try:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise Differs(f"{url} should answer, but does not: {error}") from None
    finally:
        connection.close()
    try:
        return Visit(response.status, json.loads(content))
    except ValueError:
        return Visit(response.status, content.decode("utf-8", "replace"))
