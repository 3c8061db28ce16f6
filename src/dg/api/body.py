"""A request's body: read within its bounds of size and time, and held against the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.types import Receive

from dg.api import errors, json
from dg.core.errors import Unavailable

if TYPE_CHECKING:
    from dg.api.call import Lingering
    from dg.api.contract import Operation
    from dg.settings.server import Server


async def checked(
    operation: Operation, receive: Receive, headers: Mapping[str, str], limits: Server, lingering: Lingering
) -> Mapping[str, Any]:
    """The body as the contract wants it; empty for an operation without one, or an optional one left out.

    Raises what `read` does, UnsupportedMedia, and Invalid that names each wrong field.
    """
    if operation.body is None:
        return {}
    content = await read(receive, headers, limits, lingering)
    if not content and not operation.body_required:
        return {}
    _check_media_type(headers)
    value = json.read(content)
    operation.check_body(value)
    found: Mapping[str, Any] = value
    return found


async def signed(receive: Receive, headers: Mapping[str, str], limits: Server, lingering: Lingering) -> bytes:
    """The very bytes of a body that somebody signed. Raises what `read` does, and UnsupportedMedia."""
    content = await read(receive, headers, limits, lingering)
    _check_media_type(headers)
    return content


async def read(receive: Receive, headers: Mapping[str, str], limits: Server, lingering: Lingering) -> bytes:
    """The body's bytes.

    Raises TooLarge before it holds more than `server.max_body_bytes`, TooSlow after `server.body_timeout`,
    and Unavailable when the server stops before it is whole: nothing was done yet, so it can be sent again.
    """
    most, seconds = limits.max_body_bytes, limits.body_timeout
    too_large = errors.TooLarge(f"the body is larger than {most} bytes", limit=most)
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise too_large
    body = bytearray()
    try:
        async with lingering.wait(seconds):
            while True:
                event = await receive()
                body += event.get("body", b"")
                if len(body) > most:
                    raise too_large
                if not event.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        if lingering.stopping:
            raise Unavailable("the server stops; send the request again", reason="stopping") from None
        raise errors.TooSlow(f"the body did not arrive within {seconds:g} seconds") from None


def _check_media_type(headers: Mapping[str, str]) -> None:
    media_type = headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != json.MEDIA_TYPE:
        raise errors.UnsupportedMedia(f"send the body as {json.MEDIA_TYPE}, and say so in Content-Type")
