"""What is wrong with contracts, as sentences: references, links, examples, what they have in common.

`dg contracts validate` and the tests ask; the server itself starts with any contract that it can compile.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from dg.api.contract import METHODS, Document, Schema, resolve

CAPTURED = re.compile(r"\{([^}]*)\}")


class Finding(NamedTuple):
    """One thing that is wrong. `where` names the operation or component."""

    contract: str
    where: str
    sentence: str


Found = Iterator[tuple[str, str]]


def findings(documents: Mapping[str, Document]) -> Iterator[Finding]:
    """Everything that is wrong with these contracts by their names; nothing when they are sound."""
    for name, document in documents.items():
        broken = list(_references(document))
        for where, sentence in broken or itertools.chain.from_iterable(rule(document) for rule in RULES):
            yield Finding(name, where, sentence)
    yield from _ids(documents)
    yield from _common(documents)


def examples(document: Document) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Where each example stands, the example, and the schema that it has to fit."""
    for where, node in _walk(document):
        if "example" in node and "schema" in node:
            yield where, node["example"], node["schema"]
    for where, schema in _schemas(document):
        if "example" in schema:
            yield where, schema["example"], schema


def operations(document: Document) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """`GET /path`, the operation, and its path's item."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method], item


def _walk(node: object, where: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping of a document and the path to it, but no example: their insides mean nothing here."""
    if isinstance(node, Mapping):
        yield where, node
        for key, value in node.items():
            if key not in ("example", "default"):
                yield from _walk(value, f"{where}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _walk(value, f"{where}/{index}")


def _schemas(document: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every schema of the components, the nested ones too."""
    for name, schema in document["components"]["schemas"].items():
        yield from _nested(schema, name)


def _nested(schema: Mapping[str, Any], where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield where, schema
    for name, each in schema.get("properties", {}).items():
        yield from _nested(each, f"{where}.{name}")
    for keyword in ("items", "additionalProperties"):
        if isinstance(each := schema.get(keyword), Mapping):
            yield from _nested(each, f"{where}[]")


def _references(document: Document) -> Found:
    for where, node in _walk(document):
        reference = node.get("$ref")
        if isinstance(reference, str) and not _exists(document, reference):
            yield where, f"{reference} leads nowhere"


def _exists(document: Document, reference: str) -> bool:
    target: Any = document
    for part in reference.removeprefix("#/").split("/"):
        if not isinstance(target, Mapping) or part not in target:
            return False
        target = target[part]
    return reference.startswith("#/")


def _described(document: Document) -> Found:
    if document["openapi"] != "3.0.3":
        yield "openapi", f"is {document['openapi']}, not 3.0.3"
    tags = {tag["name"] for tag in document.get("tags", ())}
    for where, operation, _ in operations(document):
        for field in ("operationId", "summary", "description", "tags"):
            if not operation.get(field):
                yield where, f"has no {field}"
        for tag in set(operation.get("tags", ())) - tags:
            yield where, f"the tag {tag} is not declared"


def _parameters(document: Document) -> Found:
    for where, operation, item in operations(document):
        declared = [resolve(document, each) for each in _declared(operation, item)]
        captured = set(CAPTURED.findall(where))
        placed = {each["name"] for each in declared if each["in"] == "path"}
        for name in sorted(captured ^ placed):
            yield where, f"the path parameter {name} stands in the path or among the parameters only"
        for each in declared:
            if each["in"] == "path" and not each.get("required"):
                yield where, f"the path parameter {each['name']} is not required"
            if not each.get("description"):
                yield where, f"the parameter {each['name']} has no description"


def _declared(operation: Mapping[str, Any], item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*item.get("parameters", ()), *operation.get("parameters", ())]


def _responses(document: Document) -> Found:
    for where, operation, _ in operations(document):
        answers = operation.get("responses", {})
        if not any(str(status).startswith("2") for status in answers):
            yield where, "has no answer for when it goes well"
        for status, answer in answers.items():
            if not resolve(document, answer).get("description"):
                yield where, f"the answer {status} has no description"


def _security(document: Document) -> Found:
    schemes = document["components"].get("securitySchemes", {})
    for where, operation, _ in operations(document):
        for requirement in operation.get("security", document.get("security", ())):
            for scheme in requirement.keys() - schemes.keys():
                yield where, f"the security scheme {scheme} is not defined"


def _links(document: Document) -> Found:
    known = {
        operation["operationId"]: {resolve(document, each)["name"] for each in _declared(operation, item)}
        for _, operation, item in operations(document)
        if "operationId" in operation
    }
    for where, operation, _ in operations(document):
        for answer in operation.get("responses", {}).values():
            for name, link in resolve(document, answer).get("links", {}).items():
                target = link.get("operationId")
                if target not in known:
                    yield where, f"the link {name} leads to {target}, which is no operation here"
                for parameter in link.get("parameters", {}).keys() - known.get(target, set()):
                    yield where, f"the link {name} gives {parameter}, which {target} does not take"


def _shapes(document: Document) -> Found:
    for where, schema in _schemas(document):
        for name in set(schema.get("required", ())) - schema.get("properties", {}).keys():
            yield where, f"{name} is required and not among the properties"
        if "nullable" in schema or not isinstance(schema.get("type", ""), str):
            yield where, "may be null: a field without a value is left out"


def _examples(document: Document) -> Found:
    for where, example, schema in examples(document):
        try:
            wrong = Schema(schema, document).mistakes(example)
        except ValueError as error:
            yield where, f"the schema cannot be compiled: {error}"
            continue
        for mistake in wrong:
            yield where, f"the example does not fit: {mistake.message}"


RULES: tuple[Callable[[Document], Found], ...] = (
    _described,
    _parameters,
    _responses,
    _security,
    _links,
    _shapes,
    _examples,
)
"""What has to hold in each contract whose references lead somewhere."""


def _ids(documents: Mapping[str, Document]) -> Iterator[Finding]:
    found = Counter(
        operation.get("operationId")
        for document in documents.values()
        for _, operation, _ in operations(document)
    )
    for name, document in documents.items():
        for where, operation, _ in operations(document):
            if found[operation.get("operationId")] > 1:
                yield Finding(name, where, f"the operationId {operation.get('operationId')} is not its own")


def _common(documents: Mapping[str, Document]) -> Iterator[Finding]:
    for (one, first), (other, second) in itertools.combinations(documents.items(), 2):
        for what, left, right in (*_named(first, second), *_tagged(first, second)):
            if left != right:
                yield Finding(other, what, f"is not the same as in {one}")


def _named(first: Document, second: Document) -> Iterator[tuple[str, Any, Any]]:
    for kind, named in first["components"].items():
        for name in named.keys() & second["components"].get(kind, {}).keys():
            yield f"{kind}/{name}", named[name], second["components"][kind][name]
    yield "servers", first["servers"], second["servers"]
    yield "security", first["security"], second["security"]


def _tagged(first: Document, second: Document) -> Iterator[tuple[str, Any, Any]]:
    left, right = ({tag["name"]: tag for tag in document.get("tags", ())} for document in (first, second))
    for name in left.keys() & right.keys():
        yield f"tags/{name}", left[name], right[name]
