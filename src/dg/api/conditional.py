"""Answers that a caller need not get twice: ETag and If-None-Match (RFC 9110, 8.8 and 13)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from starlette.responses import Response

from dg.api.call import Call

TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')


@dataclass(frozen=True)
class Representation:
    """What a path gives now, in one form."""

    content: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, content: bytes, media_type: str) -> Representation:
        """Its tag is made of the content, so it is the same on every server that has the same.

        It is weak: the same content may be sent in several codings.
        """
        return cls(content, media_type, f'W/"{hashlib.sha256(content).hexdigest()[:32]}"')


def conditional(call: Call, found: Representation) -> Response:
    """The representation, or 304 when the caller has it. It may be kept, and is asked for again each time."""
    headers = {"etag": found.etag, "cache-control": "no-cache"}
    if names(call.headers.get("if-none-match", ""), found.etag):
        return Response(status_code=304, headers=headers)
    return Response(found.content, headers=headers, media_type=found.media_type)


def names(header: str, etag: str) -> bool:
    """Whether the value of an If-None-Match header names `etag`, compared weakly."""
    return header.strip() == "*" or etag.removeprefix("W/") in TAG.findall(header)
