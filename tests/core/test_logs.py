"""Lines of the log: one for each message, whoever wrote into it, and for which request it is."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator

import pytest

from dg.core.logs import LONGEST, REQUEST, JsonFormatter, TextFormatter

HOSTILE = 'a\x1b[2J\r\n{"level": "error"}\u2028\u202e\ud800\x00"'


def record(message: str, *args: object, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("dg.api.app", logging.WARNING, __file__, 1, message, args, None)
    made.created, made.msecs = 1_790_000_000.25, 250.0
    made.__dict__.update(more)
    return made


@pytest.fixture
def request_id() -> Iterator[str]:
    known = REQUEST.set("5f70-1")
    yield "5f70-1"
    REQUEST.reset(known)


def test_a_text_line_says_when_where_and_for_which_request(request_id: str) -> None:
    line = TextFormatter().format(record("%d left", 3))
    assert line == "2026-09-21T14:13:20.250Z WARNING dg.api.app [5f70-1]: 3 left"


def test_outside_of_a_request_there_is_none() -> None:
    assert TextFormatter().format(record("up")) == "2026-09-21T14:13:20.250Z WARNING dg.api.app: up"
    assert "request_id" not in json.loads(JsonFormatter().format(record("up")))


def test_a_json_line_is_one_object_with_its_fields(request_id: str) -> None:
    line = JsonFormatter().format(record("%s", "up", fields={"status": 200}))
    assert json.loads(line) == {
        "time": "2026-09-21T14:13:20.250Z",
        "level": "warning",
        "logger": "dg.api.app",
        "message": "up",
        "request_id": request_id,
        "status": 200,
    }


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_what_others_wrote_stays_in_its_line(formatter: logging.Formatter) -> None:
    line = formatter.format(record("it said %s", HOSTILE, fields={"route": HOSTILE}))
    assert len(line.splitlines()) == 1
    assert not any(ord(character) < 32 or character in "\u202e\ud800" for character in line)
    line.encode()


def test_a_traceback_is_in_the_same_line_of_json() -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        line = JsonFormatter().format(record("failed", exc_info=sys.exc_info()))
    assert len(line.splitlines()) == 1
    found = json.loads(line)
    assert "Traceback" in found["exception"]
    assert "\x1b" not in found["exception"]


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_nobody_fills_the_disk_with_one_message(formatter: logging.Formatter) -> None:
    assert len(formatter.format(record("%s", "é" * 10**6))) < LONGEST * 6 + 300
