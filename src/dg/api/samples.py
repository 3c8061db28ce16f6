"""Values that fit a contract's schemas, made of the examples that stand there: what a mock answers with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dg.api.contract import Document, resolve

FORMATS = {
    "date-time": "2026-01-31T09:30:00Z",
    "uuid": "019acd5e-7c00-7000-8000-0000000000a1",
    "uri": "https://example.com/",
    "uri-reference": "/",
}


def of_media(media: Mapping[str, Any], document: Document) -> Any:
    """The body that a request or an answer in this form has: its own example before its schema's."""
    return media["example"] if "example" in media else of_schema(media["schema"], document)


def of_schema(schema: Mapping[str, Any], document: Document) -> Any:
    """A value that fits: the example, the default, the first choice, or one made of the parts.

    An object has what it must have, and what else an example is given for: who writes the contract decides
    which optional fields go together.
    """
    schema = resolve(document, schema)
    for said in ("example", "default"):
        if said in schema:
            return schema[said]
    if "enum" in schema:
        return schema["enum"][0]
    if choices := schema.get("oneOf") or schema.get("anyOf"):
        return of_schema(choices[0], document)
    match schema.get("type"):
        case "object":
            return dict(_members(schema, document))
        case "array":
            return [of_schema(schema["items"], document)] * max(1, schema.get("minItems", 0))
        case "integer" | "number":
            return schema.get("minimum", min(1, schema.get("maximum", 1)))
        case "boolean":
            return False
        case _:
            return FORMATS.get(schema.get("format", ""), "text")


def _members(schema: Mapping[str, Any], document: Document) -> Iterator[tuple[str, Any]]:
    required = schema.get("required", ())
    for name, each in schema.get("properties", {}).items():
        if name in required or "example" in each:
            yield name, of_schema(each, document)
