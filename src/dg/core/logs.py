"""The server's own messages as lines: for people, or one JSON object each; both say for which request.

`dg serve` chooses the form; whoever logs knows nothing of it. What others wrote into a message is made
harmless here, so no caller of `log` has to.
"""

from __future__ import annotations

import json
import logging
import time
from contextvars import ContextVar

from dg.core.text import plain

REQUEST: ContextVar[str] = ContextVar("request", default="")
"""The id of the request that is being answered; empty outside of one. Tasks that it starts keep it."""

TIME = "%Y-%m-%dT%H:%M:%S"
LONGEST = 16 << 10
"""Characters of one message or traceback."""


class _Formatter(logging.Formatter):
    @staticmethod
    def converter(seconds: float | None) -> time.struct_time:
        """Times are UTC."""
        return time.gmtime(seconds)


class TextFormatter(_Formatter):
    """A line for a person; only a traceback has several."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s%(request)s: %(message)s", TIME)

    def format(self, record: logging.LogRecord) -> str:
        request = REQUEST.get()
        record.request = f" [{request}]" if request else ""
        return plain(super().format(record), multiline=record.exc_info is not None, limit=LONGEST)


class JsonFormatter(_Formatter):
    """One object in one line of ASCII: time, level, logger, message; request, exception and fields if any.

    A record's `fields` (`extra={"fields": {...}}`) are members of their own.
    """

    def __init__(self) -> None:
        super().__init__(None, TIME)

    def format(self, record: logging.LogRecord) -> str:
        found: dict[str, object] = {
            "time": f"{self.formatTime(record, TIME)}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": plain(record.getMessage(), limit=LONGEST),
        }
        if request := REQUEST.get():
            found["request_id"] = request
        if record.exc_info:
            found["exception"] = plain(self.formatException(record.exc_info), multiline=True, limit=LONGEST)
        return json.dumps({**found, **getattr(record, "fields", {})})
