"""The page at `/docs`: an offline viewer over the joined contracts. Open to everyone, as the contracts are.

The viewer is Swagger UI, kept here byte for byte as its package has it (`tools/package-lock.json`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import resources

from starlette.responses import Response

from dg.api import json
from dg.api.conditional import Representation, names
from dg.api.contract import Document
from dg.api.docs.joined import join
from dg.api.errors import MethodNotAllowed

PATH = "/docs"
VIEWER = "swagger-ui"
OPERATION = "docs"
"""What metrics count its requests as."""

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""Nothing comes from elsewhere and nothing goes there: a pasted token stays between page and server."""

HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # Asked again each time, answered by 304 while nothing changed: a new server shows its own contracts.
    "cache-control": "no-cache",
}


@dataclass(frozen=True)
class Page:
    """One file of the page; it is read when somebody asks for it first."""

    media_type: str
    read: Callable[[], bytes]

    @cached_property
    def found(self) -> Representation:
        return Representation.of(self.read(), self.media_type)

    def answer(self, method: str, headers: Mapping[str, str]) -> Response:
        """The file, or 304 for who has it. Raises MethodNotAllowed."""
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed(method, ("GET", "HEAD"))
        fields = {**HEADERS, "etag": self.found.etag}
        if names(headers.get("if-none-match", ""), self.found.etag):
            return Response(status_code=304, headers=fields)
        return Response(self.found.content, 200, fields, self.media_type)


Pages = Mapping[str, Page]
"""Files by their whole path."""


def pages(documents: Mapping[str, Document]) -> Pages:
    """The page over these contracts. Raises ContractError when they do not fit together."""
    joined = json.write(join(documents))
    return {
        PATH: _static("text/html", "index.html"),
        f"{PATH}/": _static("text/html", "index.html"),
        f"{PATH}/page.css": _static("text/css", "page.css"),
        f"{PATH}/page.js": _static("text/javascript", "page.js"),
        f"{PATH}/icon.svg": _static("image/svg+xml", "icon.svg"),
        f"{PATH}/openapi.json": Page(json.MEDIA_TYPE, lambda: joined),
        f"{PATH}/swagger-ui.css": _static("text/css", VIEWER, "swagger-ui.css"),
        f"{PATH}/swagger-ui-bundle.js": _static("text/javascript", VIEWER, "swagger-ui-bundle.js"),
    }


def _static(media_type: str, *place: str) -> Page:
    return Page(media_type, partial(_file, *place))


def _file(*place: str) -> bytes:
    return resources.files("dg.api.docs").joinpath("site", *place).read_bytes()
