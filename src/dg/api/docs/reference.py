"""The API reference as one Markdown page: `dg contracts docs` prints it, `docs/api.md` is a copy of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dg.api.call import PREFIX
from dg.api.contract import Document, resolve
from dg.api.contract import operations as compiled
from dg.api.docs.joined import operations
from dg.core.access.models import ACTIONS, Action, Role

HEAD = """\
# API reference

Made from the contracts by `bin/generate`; `dg contracts docs` prints it. The same is at `/docs` on a server,
with a form that sends each operation; [integration.md](integration.md) shows how they go together.

Paths stand below `{prefix}`. An operation needs a token (`Authorization: Bearer …`) unless everyone may; the
rate is the class of [limits.md](limits.md) that it counts in. Each operation takes `Accept-Version`
([versions.md](versions.md)). Every answer of 400 and more is an [ErrorResponse](#errorresponse). A field that
is not marked as required may be left out.
"""
EVERYWHERE = "#/components/parameters/AcceptVersion"


def page(documents: Mapping[str, Document]) -> str:
    """The whole page over these contracts."""
    filled = {name: document for name, document in documents.items() if document["paths"]}
    parts = [HEAD.format(prefix=PREFIX)]
    for document in filled.values():
        parts += [f"## {document['info']['title']}\n", _overview(document)]
    for document in filled.values():
        for path, method, operation in operations(document):
            parts.append(_operation(document, path, method, operation))
    parts.append("## Schemas\n")
    schemas = {
        name: (document, schema)
        for document in filled.values()
        for name, schema in document["components"]["schemas"].items()
        if name in _used(document)
    }
    parts += [_schema(name, *schemas[name]) for name in sorted(schemas)]
    return "\n".join(parts)


def _overview(document: Document) -> str:
    rates = {operation.id: operation.rate for operation in compiled(document)}
    rows = [
        (
            f"[{operation['operationId']}](#{operation['operationId'].lower()})",
            f"`{method.upper()} {path}`",
            operation["summary"],
            _who(document, operation),
            rates[operation["operationId"]],
        )
        for path, method, operation in operations(document)
    ]
    return _table(("operation", "request", "what it is for", "who may", "rate"), rows)


def _who(document: Document, operation: Mapping[str, Any]) -> str:
    action = operation.get("x-action")
    schemes = operation.get("security", document.get("security", []))
    if not schemes:
        return "whoever signs the body" if action == "signed" else "everyone"
    given = [str(role) for role in Role if action in ACTIONS and role in ACTIONS[Action(action)]]
    may = f"`{action}`: {', '.join(given)}" if given else "whoever has a token"
    return f"{may}; on this machine without one" if {} in schemes else may


def _operation(document: Document, path: str, method: str, operation: Mapping[str, Any]) -> str:
    declared = [*document["paths"][path].get("parameters", ()), *operation.get("parameters", ())]
    parts = [
        f"### {operation['operationId']}\n",
        f"`{method.upper()} {path}`: {_sentence(operation['summary'])} {_flat(operation['description'])}\n",
        f"Who may: {_who(document, operation)}.\n",
    ]
    own = [_parameter(document, each) for each in declared if each.get("$ref") != EVERYWHERE]
    if own:
        parts.append(_table(("parameter", "in", "type", "meaning"), own))
    if body := operation.get("requestBody"):
        parts.append(_body(resolve(document, body), document))
    parts.append(_answers(document, operation["responses"]))
    return "\n".join(parts)


def _parameter(document: Document, reference: Mapping[str, Any]) -> tuple[str, str, str, str]:
    parameter = resolve(document, reference)
    needed = ", required" if parameter.get("required") else ""
    meaning = f"{_flat(parameter.get('description', ''))} {_bounds(document, parameter['schema'])}"
    return f"`{parameter['name']}`", f"{parameter['in']}{needed}", _type(parameter["schema"]), meaning.strip()


def _body(body: Mapping[str, Any], document: Document) -> str:
    said = "required" if body.get("required") else "optional"
    parts = []
    for media_type, media in body["content"].items():
        parts.append(f"Body ({said}, `{media_type}`): {_type(media['schema'])}\n")
        if (example := _example(media)) is not None:
            parts.append(f"```json\n{json.dumps(example, indent=2, ensure_ascii=False)}\n```\n")
    return "\n".join(parts)


def _example(media: Mapping[str, Any]) -> Any:
    for each in media.get("examples", {}).values():
        return each.get("value")
    return media.get("example")


def _answers(document: Document, responses: Mapping[str, Any]) -> str:
    good = [
        (f"`{status}`", _contents(found), _flat(found["description"]))
        for status, reference in responses.items()
        if status < "4" and (found := resolve(document, reference))
    ]
    refused = ", ".join(f"`{status}`" for status in responses if status >= "4")
    refusals = [(refused, "[ErrorResponse](#errorresponse)", "what was wrong")] if refused else []
    return _table(("answer", "body", "meaning"), [*good, *refusals])


def _contents(response: Mapping[str, Any]) -> str:
    found = [
        _type(media["schema"]) if media_type == "application/json" else f"`{media_type}`"
        for media_type, media in response.get("content", {}).items()
    ]
    return ", ".join(found) or "none"


def _schema(name: str, document: Document, schema: Mapping[str, Any]) -> str:
    parts = [f"### {name}\n"]
    if description := _flat(schema.get("description", "")):
        parts.append(f"{description}\n")
    members = schema.get("properties", {})
    if not members:
        said = f"{_type(schema)}. {_bounds(document, schema)}".strip()
        return "\n".join([*parts, f"{said}\n"])
    required = schema.get("required", ())
    rows = [
        (
            f"`{field}`",
            f"{_type(each)}{', required' if field in required else ''}",
            f"{_flat(each.get('description', ''))} {_bounds(document, each)}".strip(),
        )
        for field, each in members.items()
    ]
    return "\n".join([*parts, _table(("field", "type", "meaning"), rows)])


def _type(schema: Mapping[str, Any]) -> str:
    """What a value is, in a few words; a named schema is linked."""
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for kind, word in (("oneOf", " or "), ("anyOf", " or "), ("allOf", " with ")):
        if kind in schema:
            return word.join(_type(each) for each in schema[kind])
    if "enum" in schema:
        return " \\| ".join(f"`{_word(choice)}`" for choice in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if schema.get("type") == "object" and isinstance(further := schema.get("additionalProperties"), Mapping):
        return f"object of {_type(further)}"
    kind = str(schema.get("type", "any value"))
    return f"{kind} ({schema['format']})" if "format" in schema else kind


def _bounds(document: Document, schema: Mapping[str, Any]) -> str:
    """What else must hold of a value, as far as a person wants to know."""
    found = resolve(document, schema)
    said = [_flat(str(found["x-hint"]))] if "x-hint" in found and schema is found else []
    words = (("minimum", "at least"), ("maximum", "at most"), ("default", "without it"))
    said += [f"{word} `{_word(found[key])}`" for key, word in words if key in found]
    return f"({'; '.join(said)})" if said else ""


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _flat(text: str) -> str:
    """Text that stays on its line, and in its cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell or " " for cell in line) + " |" for line in lines) + "\n"


def _used(document: Document) -> set[str]:
    """The schemas that the operations of a contract lead to."""
    found: set[str] = set()
    ahead: list[object] = [document["paths"]]
    while ahead:
        for reference in _references(ahead.pop()):
            if reference not in found:
                found.add(reference)
                _, _, section, name = reference.split("/")
                ahead.append(document["components"][section][name])
    return {reference.rpartition("/")[2] for reference in found if "/schemas/" in reference}


def _references(node: object) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(reference := node.get("$ref"), str):
            yield reference
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _references(item)
