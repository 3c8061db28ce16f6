"""Contract and code in step: what handlers read of a request, and the models that they answer with.

Found out from the handlers themselves: the parameters and fields that they name, the model that `wire.read`
makes of a body, and what the core's methods that they call are annotated to return.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from enum import Enum
from typing import Any, Literal, TypeVar, Union

import pytest
from pydantic import BaseModel

from dg.api import call, contract, soundness, wire
from dg.api.app import HANDLERS
from dg.core.access.models import Principal
from dg.core.app import Core

OPERATIONS: dict[str, tuple[contract.Document, Mapping[str, Any], Mapping[str, Any]]] = {
    operation["operationId"]: (document, operation, item)
    for document in map(contract.load, contract.NAMES)
    for _, operation, item in soundness.operations(document)
}
BY_THE_FRAME = {"Accept-Version", "Idempotency-Key", "If-None-Match", "Last-Event-ID"}
"""Parameters that are read before the handler, or as headers."""

OWN_SHAPE = {
    "getDeploymentStatus": "the specification's flat shape, made of Progress",
    "getDeploymentReceipt": "the signed document, byte for byte",
    "listEvents": "a page made of the ledger's entries",
    "whoami": "the caller with the actions of their roles, which no other grant shows",
    "listVersions": "constants",
    "listLimits": "what the API itself counts of the caller",
    "getContract": "the contract itself",
    "getDiagnostics": "figures by name",
}
"""Answers that no one model is behind, and what they are; tests of theirs check them."""


@dataclass
class Used:
    """What a handler and the functions of its module that it calls use of a request."""

    arguments: set[str] = field(default_factory=set)
    body: set[str] = field(default_factory=set)
    models: list[Any] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)


def used(function: Callable[..., Any], seen: set[str] | None = None) -> Used:
    """Everything that `function` and its neighbours name of a call."""
    seen = set() if seen is None else seen
    found = Used()
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    names = {"arguments": {"asked"}, "body": {"body"}}
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value, ast.Constant(str(key))) | ast.Call(
                ast.Attribute(value, "get" | "pop"), [ast.Constant(str(key)), *_]
            ):
                for kind, alias in names.items():
                    if _is(value, kind, alias):
                        getattr(found, kind).add(key)
            case ast.Call(ast.Attribute(ast.Name("wire"), "read"), [ast.Name(model), *_]):
                found.models.append(function.__globals__[model])
            case ast.Call(ast.Name("answer"), [ast.Attribute(ast.Name("call"), "principal"), *_]):
                found.answers.append(Principal)
            case ast.Attribute(ast.Attribute(ast.Attribute(ast.Name("call"), "core"), part), method):
                found.answers.append(_returned(part, method))
            case ast.Call(ast.Name(name)) if name not in seen:
                neighbour = function.__globals__.get(name)
                if inspect.isfunction(neighbour) and neighbour.__module__ in {
                    function.__module__,
                    call.__name__,
                }:
                    seen.add(name)
                    more = used(neighbour, seen)
                    found.arguments |= more.arguments
                    found.body |= more.body
                    found.models += more.models
                    found.answers += more.answers
    return found


def _is(node: ast.expr, kind: str, alias: set[str]) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr == kind) or (
        isinstance(node, ast.Name) and node.id in alias
    )


def _returned(part: str, method: str) -> Any:
    service = typing.get_type_hints(Core)[part]
    return typing.get_type_hints(getattr(service, method)).get("return")


def differences(
    annotation: Any, schema: Mapping[str, Any], document: contract.Document, where: str, *, sent: bool
) -> Iterator[str]:
    """Where a model and the schema for it part; `sent` for what a request holds."""
    annotation, schema = _bare(annotation), contract.resolve(document, schema)
    kind = schema.get("type")
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        if set(schema.get("enum", ())) != {item.value for item in annotation}:
            yield f"{where}: {schema.get('enum')} are not the values of {annotation.__name__}"
    elif _is_model(annotation) and kind == "object" and "properties" in schema:
        yield from _fields(annotation, schema, document, where, sent=sent)
    elif typing.get_origin(annotation) in (list, tuple, Sequence):
        if kind != "array":
            yield f"{where}: {kind} is no list"
        else:
            inner = typing.get_args(annotation)[0]
            yield from differences(inner, schema["items"], document, f"{where}[]", sent=sent)
    elif kind not in _kinds(annotation):
        yield f"{where}: the contract says {kind}, the model {annotation}"


def _fields(
    model: Any, schema: Mapping[str, Any], document: contract.Document, where: str, *, sent: bool
) -> Iterator[str]:
    hints = _hints(model)
    required = set(schema.get("required", ()))
    for name in sorted(hints.keys() ^ schema["properties"].keys()):
        yield f"{where}.{name}: only in the {'model' if name in hints else 'contract'}"
    for name in hints.keys() & schema["properties"].keys():
        annotation, needed = hints[name]
        each = f"{where}.{name}"
        if sent and needed != (name in required):
            yield f"{each}: only one of model and contract needs it"
        if not sent and name in required and _optional(annotation):
            yield f"{each}: the contract promises it, the model may have none"
        if wire._is_time(name):
            if contract.resolve(document, schema["properties"][name]).get("format") != "date-time":
                yield f"{each}: a time that the contract does not call one"
        elif name not in wire.VERBATIM:
            yield from differences(annotation, schema["properties"][name], document, each, sent=sent)


def _hints(model: Any) -> dict[str, tuple[Any, bool]]:
    """Each field that leaves: its annotation, and whether it has to be given."""
    if issubclass(model, BaseModel):
        found = {
            name: (each.annotation, each.is_required())
            for name, each in model.model_fields.items()
            if not each.exclude
        }
    else:
        found = {name: (each, True) for name, each in typing.get_type_hints(model).items()}
    return {name: each for name, each in found.items() if name not in wire.INTERNAL}


def _optional(annotation: Any) -> bool:
    return type(None) in typing.get_args(annotation)


def _bare(annotation: Any) -> Any:
    """Without None, Annotated and the like."""
    origin = typing.get_origin(annotation)
    if origin in (Union, types.UnionType):
        parts = [each for each in typing.get_args(annotation) if each is not type(None)]
        return _bare(parts[0]) if len(parts) == 1 else annotation
    return _bare(typing.get_args(annotation)[0]) if origin is typing.Annotated else annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and (issubclass(annotation, BaseModel) or is_dataclass(annotation))


def _kinds(annotation: Any) -> set[str]:
    """The JSON types that a value of this annotation may leave as."""
    origin = typing.get_origin(annotation)
    if annotation is Any or isinstance(annotation, TypeVar):
        return {"object", "array", "string", "number", "integer", "boolean"}
    if origin is Literal:
        return _kinds(type(typing.get_args(annotation)[0]))
    if origin in (Union, types.UnionType):
        return {kind for each in typing.get_args(annotation) for kind in _kinds(each)}
    if origin in (dict, Mapping) or _is_model(annotation):
        return {"object"}
    plain = {str: {"string"}, int: {"integer"}, float: {"number"}, bool: {"boolean"}}
    return plain.get(annotation, {"object"} if annotation in (dict, Mapping) else set())


def body_of(operation: Mapping[str, Any]) -> Mapping[str, Any] | None:
    body = operation.get("requestBody", {})
    schema: Mapping[str, Any] | None = body.get("content", {}).get("application/json", {}).get("schema")
    # What is signed is read by its sender's own rules.
    return None if body.get("x-raw") else schema


def answer_of(document: contract.Document, operation: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema of what a good end is answered with."""
    good = next(answer for status, answer in operation["responses"].items() if status.startswith("2"))
    media = contract.resolve(document, good).get("content", {}).get("application/json")
    return media and contract.resolve(document, media["schema"])


@pytest.mark.parametrize("identity", sorted(HANDLERS))
def test_a_handler_reads_the_parameters_that_the_contract_has(identity: str) -> None:
    document, operation, item = OPERATIONS[identity]
    declared = {
        contract.resolve(document, each)["name"]
        for each in (*item.get("parameters", ()), *operation.get("parameters", ()))
    }
    assert used(HANDLERS[identity]).arguments - BY_THE_FRAME == declared - BY_THE_FRAME


@pytest.mark.parametrize("identity", sorted(key for key in HANDLERS if body_of(OPERATIONS[key][1])))
def test_a_handler_reads_the_body_that_the_contract_has(identity: str) -> None:
    document, operation, _ = OPERATIONS[identity]
    schema = body_of(operation)
    assert schema
    properties = contract.resolve(document, schema)["properties"].keys()
    reads = used(HANDLERS[identity])
    assert reads.body <= properties | {"until"}
    if not reads.models:
        assert reads.body == properties
    for model in reads.models:
        found = [
            each
            for each in differences(model, schema, document, model.__name__, sent=True)
            # What the handler itself turns into fields of the model.
            if each.split(":")[0].rpartition(".")[2] not in reads.body
        ]
        assert found == []


@pytest.mark.parametrize("identity", sorted(HANDLERS.keys() - OWN_SHAPE))
def test_an_answer_is_the_model_that_the_contract_describes(identity: str) -> None:
    document, operation, _ = OPERATIONS[identity]
    schema = answer_of(document, operation)
    if schema is None:
        return
    returned = used(HANDLERS[identity]).answers
    tried = [list(_answered(each, schema, document)) for each in returned if each not in (None, bool)]
    assert tried, f"nothing of the core is behind {identity}; say in OWN_SHAPE what it is"
    assert [] in tried, tried


def _answered(annotation: Any, schema: Mapping[str, Any], document: contract.Document) -> Iterator[str]:
    """A list of the core is `items` of the answer."""
    if typing.get_origin(annotation) in (list, tuple, Sequence):
        schema = schema.get("properties", {}).get("items", {})
    yield from differences(
        annotation, schema, document, getattr(annotation, "__name__", "answer"), sent=False
    )


def test_shapes_of_their_own_are_still_needed() -> None:
    assert OWN_SHAPE.keys() <= HANDLERS.keys()


class Thing(BaseModel):
    name: str
    size: int = 0
    note: str | None = None
    made_at: int
    parts: tuple[Thing, ...] = ()


def test_a_model_that_parts_from_its_schema_is_found() -> None:
    text, number = {"type": "string"}, {"type": "integer"}
    document: contract.Document = {"components": {"schemas": {}}}
    parts = {"type": "array", "items": {"type": "object"}}
    time = {"type": "string", "format": "date-time"}
    properties = {"name": text, "size": number, "note": text, "made_at": time, "parts": parts}
    good = {"type": "object", "required": ["name", "made_at"], "properties": properties}
    for sent in (True, False):
        assert list(differences(Thing, good, document, "Thing", sent=sent)) == []
    for changed, sentence in (
        ({"size": text}, "Thing.size: the contract says string, the model <class 'int'>"),
        ({"more": text}, "Thing.more: only in the contract"),
        ({"made_at": number}, "Thing.made_at: a time that the contract does not call one"),
        ({"parts": text}, "Thing.parts: string is no list"),
    ):
        other = {**good, "properties": {**properties, **changed}}
        assert list(differences(Thing, other, document, "Thing", sent=False)) == [sentence]
    promised = {**good, "required": ["name", "made_at", "note"]}
    assert list(differences(Thing, promised, document, "Thing", sent=False)) == [
        "Thing.note: the contract promises it, the model may have none"
    ]
    assert list(differences(Thing, promised, document, "Thing", sent=True)) == [
        "Thing.note: only one of model and contract needs it"
    ]
