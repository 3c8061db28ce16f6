"""Hides secrets in a stream of bytes before the first byte is stored.

It knows a secret's exact value and the encodings that tools print unasked, and the form of dg's own API keys,
whosever they are; it is a net, not a wall.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

STARS = b"***"
_SHORTEST = 6
_SHORTEST_LINE = 8
_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~"

_KEY_ENVIRONMENTS = (b"dev", b"stg", b"prod", b"all")
_KEY_BEGIN = b"dgk_"
_KEY_REST = (b"_", *(b"[0-9A-Za-z]",) * 32, b"_", *(b"[0-9A-Za-z]",) * 6)
_KEY = re.compile(_KEY_BEGIN + b"(?:" + b"|".join(_KEY_ENVIRONMENTS) + b")" + b"".join(_KEY_REST))
"""An API key (docs/secret-scanning.md)."""
_LONGEST_KEY = len(_KEY_BEGIN) + max(map(len, _KEY_ENVIRONMENTS)) + len(_KEY_REST)


def _unfinished(environment: bytes) -> bytes:
    """A pattern for every beginning of such a key, each character optional that follows another."""
    atoms = [*(bytes([byte]) for byte in _KEY_BEGIN + environment), *_KEY_REST]
    return b"(?:".join(atoms) + b")?" * (len(atoms) - 1)


_UNFINISHED_KEY = re.compile(b"(?:" + b"|".join(map(_unfinished, _KEY_ENVIRONMENTS)) + rb")\Z")


class Mask:
    """Replaces every run of bytes that belongs to a secret, or to an API key of dg, by `***`.

    Fed in pieces it gives the same as fed at once: it holds back only an end that may be the start of a
    secret, so less than the longest form of one. Overlapping and touching secrets become one `***`.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        found = {form for value in secrets.values() for form in forms(value)}
        self._forms = sorted(found, key=lambda form: (-len(form), form))
        self._stream = _Stream(self._forms)

    def feed(self, chunk: bytes) -> bytes:
        """What may be shown by now."""
        return self._stream.feed(chunk)

    def flush(self) -> bytes:
        """The rest, at the end of the stream; the next `feed` begins another one."""
        rest = self._stream.rest()
        self._stream = _Stream(self._forms)
        return rest

    def text(self, text: str) -> str:
        """A whole text, apart from the stream."""
        stream = _Stream(self._forms)
        data = stream.feed(text.encode("utf-8", "surrogateescape")) + stream.rest()
        return data.decode("utf-8", "replace")


class _Stream:
    """One stream through a mask. `forms` are sorted by length, longest first."""

    def __init__(self, forms: Sequence[bytes]) -> None:
        self._forms = forms
        self._held = b""
        self._covered = 0  # bytes at the start of what is held that belong to a secret already replaced
        self._inside = False  # the byte before them was replaced too

    def feed(self, chunk: bytes) -> bytes:
        data = self._held + chunk if self._held else chunk
        end = self._undecided(data)
        if not (self._forms or self._covered or end < len(data) or _KEY_BEGIN in data):
            self._held, self._inside = b"", self._inside and not data
            return data
        shown = self._rewrite(data, end)
        self._held = data[end:]
        return shown

    def rest(self) -> bytes:
        return self._rewrite(self._held, len(self._held))

    def _undecided(self, data: bytes) -> int:
        """Where the longest end of `data` begins that may grow into a form; its length when there is none."""
        size = nearest = len(data)
        if key := _UNFINISHED_KEY.search(data, max(0, size - _LONGEST_KEY + 1)):
            nearest = key.start()
        for form in self._forms:
            at = data.find(form[:1], max(0, size - len(form) + 1), nearest)
            while at >= 0:
                if form.startswith(data[at:]):
                    nearest = at
                    break
                at = data.find(form[:1], at + 1, nearest)
        return nearest

    def _rewrite(self, data: bytes, end: int) -> bytes:
        """`data` up to `end`; a form that reaches beyond it is remembered as covered."""
        position = self._covered
        shown = []
        for start, stop in sorted(self._find(data)):
            if start >= end:
                break
            if start > position:
                shown.append(data[position:start])
                self._inside = False
            if not self._inside:
                shown.append(STARS)
                self._inside = True
            position = max(position, stop)
        if position < end:
            shown.append(data[position:end])
            self._inside = False
            position = end
        self._covered = position - end
        return b"".join(shown)

    def _find(self, data: bytes) -> Iterator[tuple[int, int]]:
        for form in self._forms:
            at = data.find(form)
            while at >= 0:
                yield at, at + len(form)
                at = data.find(form, at + 1)
        at = data.find(_KEY_BEGIN)
        while at >= 0:
            if key := _KEY.match(data, at):
                yield key.span()
            at = data.find(_KEY_BEGIN, at + 1)


def forms(secret: str) -> set[bytes]:
    """How `secret` may appear: as it is, base64, URL, JSON, shell and hexadecimal, and line by line."""
    found: set[bytes] = set()
    for text in {secret, secret.strip()}:
        value = text.encode("utf-8", "surrogateescape")
        found |= {value, *_base64(value), *_url(value), *_json(text), *_shell(value), *_hex(value)}
    lines = {line.strip() for line in secret.encode("utf-8", "surrogateescape").splitlines()}
    long_lines = {line for line in lines if len(line) >= _SHORTEST_LINE}
    return {form for form in found if len(form) >= _SHORTEST} | long_lines


def _base64(value: bytes) -> Iterator[bytes]:
    """At its three possible positions in a longer text, whole and without what its neighbours change."""
    for before, unstable in ((0, 0), (1, 2), (2, 3)):
        encoded = binascii.b2a_base64(b"\0" * before + value, newline=False)
        stable = encoded[unstable : (before + len(value)) * 8 // 6]
        for form in (encoded[unstable:], encoded[unstable:].rstrip(b"="), stable):
            yield form
            yield form.replace(b"+", b"-").replace(b"/", b"_")
    yield from _wrapped(binascii.b2a_base64(value, newline=False), 64)
    yield from _wrapped(binascii.b2a_base64(value, newline=False), 76)


def _hex(value: bytes) -> Iterator[bytes]:
    lower = binascii.hexlify(value)
    yield from (lower, lower.upper())
    yield from _wrapped(lower, 60)


def _wrapped(encoded: bytes, width: int) -> Iterator[bytes]:
    """The lines in which `base64`, PEM and `xxd -p` print a long value."""
    if len(encoded) > width:
        lines = (encoded[at : at + width] for at in range(0, len(encoded), width))
        yield from (line for line in lines if len(line) >= _SHORTEST_LINE)


def _url(value: bytes) -> Iterator[bytes]:
    """As quoted by common libraries, which differ in the characters that they leave alone."""
    for safe in (b"", b"/", b"!'()*", b"/:@!$&'()*+,;="):
        quoted = _percent(value, _UNRESERVED + safe)
        for form in (quoted, quoted.replace(b"%20", b"+")):
            yield form
            yield _lower_escapes(form)


def _percent(value: bytes, safe: bytes) -> bytes:
    return b"".join(bytes([byte]) if byte in safe else b"%%%02X" % byte for byte in value)


def _lower_escapes(quoted: bytes) -> bytes:
    head, *escapes = quoted.split(b"%")
    return b"%".join([head, *(escape[:2].lower() + escape[2:] for escape in escapes)])


def _json(text: str) -> Iterator[bytes]:
    for ascii_only in (True, False):
        quoted = json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode("utf-8", "surrogateescape")
        yield quoted
        yield quoted.replace(b"/", b"\\/")
        yield quoted.replace(b"&", b"\\u0026").replace(b"<", b"\\u003c").replace(b">", b"\\u003e")


def _shell(value: bytes) -> Iterator[bytes]:
    """The inside of single quotes (two habits) and of double quotes, and escaped with backslashes."""
    yield value.replace(b"'", b"'\"'\"'")
    yield value.replace(b"'", b"'\\''")
    yield _backslashed(value, b'"$`\\')
    yield _backslashed(value, b" !\"#$&'()*,;<>?[\\]^`{|}~")


def _backslashed(value: bytes, special: Iterable[int]) -> bytes:
    return b"".join(b"\\" + bytes([byte]) if byte in special else bytes([byte]) for byte in value)
