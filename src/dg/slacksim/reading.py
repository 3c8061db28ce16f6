"""Requests to the Web API as Slack reads them: a query, a form or JSON, and the token."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from dg.slacksim.errors import SlackError

MOST_FIELDS = 200
MOST_BODY = 1_000_000


async def arguments(request: web.Request) -> dict[str, Any]:
    """The arguments of a call. Raises SlackError, and 413 for a body that is too large."""
    found: dict[str, Any] = dict(request.query)
    if request.method == "GET":
        return found
    if request.content_type == "multipart/form-data":
        return found | await _multipart(request)
    body = await request.read()
    if not body:
        return found
    if request.content_type == "application/json":
        return found | loaded(body)
    if request.content_type == "application/x-www-form-urlencoded":
        return found | _form(body)
    raise SlackError("invalid_post_type")


def loaded(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises SlackError."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise SlackError("invalid_json") from None
    if not isinstance(value, dict):
        raise SlackError("json_not_object")
    return value


def _form(body: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise SlackError("invalid_form_data") from None


async def _multipart(request: web.Request) -> dict[str, str]:
    return {name: value for name, value in (await _posted(request)).items() if isinstance(value, str)}


async def _posted(request: web.Request) -> Mapping[str, object]:
    try:
        return await request.post()
    except (ValueError, AssertionError):
        raise SlackError("invalid_form_data") from None


async def uploaded(request: web.Request) -> bytes:
    """The file of an upload: the body, or the first file of a form. Raises SlackError."""
    if request.content_type != "multipart/form-data":
        return await request.read()
    parts = [each for each in (await _posted(request)).values() if isinstance(each, web.FileField)]
    return parts[0].file.read() if parts else b""


def token(request: web.Request, values: dict[str, Any]) -> str:
    """The token of the Authorization header, else of the form; empty when there is none."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and given:
        return given.strip()
    return str(values.get("token") or "")
