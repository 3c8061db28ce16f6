"""All contracts as one OpenAPI document: what the page at `/docs` shows, and the generators read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dg.api.call import PREFIX
from dg.api.contract import METHODS, ContractError, Document

ABOUT = """\
Press **Authorize** and paste a token (`dg token create` makes one): it stays in this page and is gone when
you leave it. Then open an operation; **Try it out** asks this server, for real.
"""


def join(documents: Mapping[str, Document]) -> Document:
    """The `documents` by name as one, which asks the server that it came from.

    Raises ContractError when two of them mean different things by one path or component.
    """
    first = next(iter(documents.values()))
    joined: dict[str, Any] = {
        "openapi": first["openapi"],
        "info": {
            "title": "dg API",
            "version": first["info"]["version"],
            "description": f"{ABOUT}\n{_overview(documents)}",
            "license": first["info"]["license"],
        },
        "servers": [{"url": PREFIX, "description": "This server"}],
        "tags": _tags(documents),
        "security": first["security"],
        "paths": {},
        "components": {},
    }
    for document in documents.values():
        _merge(joined["paths"], document["paths"], "path")
        for section, members in document.get("components", {}).items():
            _merge(joined["components"].setdefault(section, {}), members, section)
    return joined


def file(name: str) -> str:
    """Where the server gives the contract `name`."""
    return f"{PREFIX}/openapi/{name}.yaml"


def operations(document: Document) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """The path, the method and the description of every operation, in the document's order."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def _merge(into: dict[str, Any], members: Mapping[str, Any], kind: str) -> None:
    for name, member in members.items():
        if into.setdefault(name, member) != member:
            raise ContractError(f"two contracts mean different things by the {kind} {name}")


def _tags(documents: Mapping[str, Document]) -> list[dict[str, Any]]:
    """Every tag that has operations, once, with the contract that it first stands in."""
    found: dict[str, dict[str, Any]] = {}
    for name, document in documents.items():
        used = {tag for _, _, operation in operations(document) for tag in operation["tags"]}
        source = {"url": file(name), "description": document["info"]["title"]}
        for tag in document.get("tags", ()):
            if tag["name"] in used:
                found.setdefault(tag["name"], {**tag, "externalDocs": source})
    return list(found.values())


def _overview(documents: Mapping[str, Document]) -> str:
    """A table of the contracts, and behind it what each says of itself."""
    rows = ["| contract | operations | file |", "|---|---|---|"]
    for name, document in documents.items():
        count = sum(1 for _ in operations(document)) or "none yet"
        rows.append(f"| {document['info']['title']} | {count} | [{name}.yaml]({file(name)}) |")
    words = [
        f"<details><summary>{each['info']['title']}</summary>\n\n{each['info']['description']}\n\n</details>"
        for each in documents.values()
        if each["paths"]
    ]
    return "\n\n".join(["\n".join(rows), *words])
