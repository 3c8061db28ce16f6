"""Named values that steps hand on: read from the file that `DG_OUTPUTS` names, filled into later steps."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping

MAX_VALUE_BYTES = 4096
_MAX_FILE_BYTES = 1 << 20
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PLACEHOLDER = re.compile(r"\{outputs\.([a-z][a-z0-9_]{0,62})\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class UnknownOutput(Exception):
    """A step wants an output that no step before it gave."""


def fill(text: str, known: Mapping[str, str]) -> str:
    """`text` with each `{outputs.NAME}` replaced. Raises UnknownOutput."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in known:
            raise UnknownOutput(f"the output `{name}` is not known: no earlier step gave it")
        return known[name]

    return _PLACEHOLDER.sub(value, text)


def read(path: str, complain: Callable[[str], None]) -> dict[str, str]:
    """The `name=value` lines of a file that a step may have written anything to, or made into anything.

    Lines that cannot be taken are named to `complain` by number, never by content.
    """
    data = _read_file(path, complain)
    found: dict[str, str] = {}
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        name, problem, value = _parse(line)
        if problem:
            complain(f"outputs: line {number} is ignored: {problem}")
        else:
            found[name] = value
    return found


def _parse(line: bytes) -> tuple[str, str, str]:
    """Name, what is wrong with the line, and value."""
    raw_name, equals, raw_value = line.removesuffix(b"\r").partition(b"=")
    try:
        name, value = raw_name.decode(), raw_value.decode()
    except UnicodeDecodeError:
        return "", "it is not UTF-8", ""
    if not equals:
        return "", "it is not of the form name=value", ""
    if not _NAME.fullmatch(name):
        return "", "a name is a lower case letter and up to 62 lower case letters, digits and _", ""
    if len(raw_value) > MAX_VALUE_BYTES:
        return "", f"the value is longer than {MAX_VALUE_BYTES} bytes", ""
    if _CONTROL.search(value):
        return "", "the value has a control character", ""
    return name, "", value


def _read_file(path: str, complain: Callable[[str], None]) -> bytes:
    try:
        # A step may have put a link or a pipe in its place.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        complain(f"outputs: the file cannot be read: {error.strerror}")
        return b""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            complain("outputs: the file is not a regular file any more")
            return b""
        data = os.pread(fd, _MAX_FILE_BYTES + 1, 0)
    finally:
        os.close(fd)
    if len(data) > _MAX_FILE_BYTES:
        complain(f"outputs: only the first {_MAX_FILE_BYTES} bytes of the file are read")
        data = data[: data.rfind(b"\n", 0, _MAX_FILE_BYTES) + 1]
    return data
