"""What the TypeScript SDK is generated from: the operations it knows, and a document for its types."""

from __future__ import annotations

from typing import Any

from dg.api.contract import Document, resolve
from dg.api.docs.joined import operations

HEAD = "/** Generated from the contracts by `bin/generate`: how each operation is asked. */\n"
LEFT_OUT = frozenset({"headers", "links", "example", "examples"})
"""What a program's types do not need of an answer."""


def table(document: Document) -> str:
    """The TypeScript module that says how each operation is asked."""
    rows = [
        f'  {each["operationId"]}: {{ method: "{method.upper()}", path: "{path}",'
        f" keyed: {'true' if _is_keyed(document, path, each) else 'false'} }},"
        for path, method, each in operations(document)
    ]
    return "\n".join([f"{HEAD}export const OPERATIONS = {{", *rows, "} as const;", ""])


def types_source(document: Document) -> dict[str, Any]:
    """`document` as openapi-typescript gets it."""
    components = {
        name: _bare(members) if name == "responses" else members
        for name, members in document["components"].items()
        if name not in LEFT_OUT
    }
    paths = {
        path: {
            key: {**part, "responses": _bare(part["responses"])} if "responses" in part else part
            for key, part in item.items()
        }
        for path, item in document["paths"].items()
    }
    return {**document, "components": components, "paths": paths}


def _bare(responses: dict[str, Any]) -> dict[str, Any]:
    """Responses without what stands beside their schemas."""
    return {name: _without(response) for name, response in responses.items()}


def _without(response: dict[str, Any]) -> dict[str, Any]:
    content = {
        media_type: {key: value for key, value in part.items() if key not in LEFT_OUT}
        for media_type, part in response.get("content", {}).items()
    }
    kept = {key: value for key, value in response.items() if key not in LEFT_OUT}
    return {**kept, "content": content} if content else kept


def _is_keyed(document: Document, path: str, operation: Document) -> bool:
    """Whether an Idempotency-Key makes it safe to repeat."""
    declared = [*document["paths"][path].get("parameters", ()), *operation.get("parameters", ())]
    return any(resolve(document, each)["name"] == "Idempotency-Key" for each in declared)
