"""Answers of the API with hostile text wherever the contracts let any text stand, also where none stood."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import cycle
from typing import Any

import yaml

from dg.core.access.models import GIVEN

Schema = Mapping[str, Any]
BOUND = ("enum", "format", "const")
"""What a string has that must be one of some, or of a form, to be understood at all."""
RIGHTS = frozenset({"actions", "role"})
"""Fields that give keys: without these nothing could be asked for. So does the gate whose name this is:"""
GATE = "approvals"
GRANT = frozenset({"role", "actions"})
"""What a grant has that is held."""
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Operation:
    """One path of one contract, and its answers' schema by method."""

    path: re.Pattern[str]
    answers: Mapping[str, Schema]
    document: Schema


@cache
def operations() -> tuple[Operation, ...]:
    """All that the contracts have."""
    folder = files("dg.api") / "contracts"
    found = list[Operation]()
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        document = yaml.load(file.read_text("utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  safe ones
        for path, methods in document["paths"].items():
            pattern = re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)))
            answers = {
                method.upper(): schema
                for method, operation in methods.items()
                if method in ("get", "post", "put", "delete")
                for schema in _answers(document, operation)
            }
            found.append(Operation(pattern, answers, document))
    return tuple(found)


def _answers(document: Schema, operation: Schema) -> Iterator[Schema]:
    for status, answer in operation["responses"].items():
        content = _resolved(document, answer).get("content", {})
        if status.startswith("2") and "application/json" in content:
            yield content["application/json"]["schema"]


def _resolved(document: Schema, schema: Schema) -> Schema:
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


class Bender:
    """Puts `attacks` into answers in turn.

    With `names`, also where a pattern says how a name looks, and in the words for what one may.
    """

    def __init__(self, attacks: tuple[str, ...], *, names: bool = False) -> None:
        self._attacks = cycle(attacks)
        self._names = names
        self._bound = BOUND if names else (*BOUND, "pattern")
        self._kept = frozenset() if names else RIGHTS
        self.bent = 0
        operations()

    def __call__(self, method: str, path: str, body: bytes) -> bytes:
        """For `Between.bend`: an answer, or a line of the event stream."""
        if path == "/events" and body.startswith((b"data:", b"id:", b":", b"\n", b"event:", b"retry:")):
            return self._line(body)
        for operation in operations():
            if operation.path.fullmatch(path) and method in operation.answers:
                return self._whole(operation.document, operation.answers[method], body)
        return body

    def _line(self, line: bytes) -> bytes:
        if not line.startswith(b"data:"):
            return line
        document = next(each.document for each in operations() if each.path.fullmatch("/events"))
        schema = document["components"]["schemas"]["Event"]
        return b"data: " + self._whole(document, schema, line.removeprefix(b"data:")) + b"\n"

    def _whole(self, document: Schema, schema: Schema, body: bytes) -> bytes:
        try:
            said = json.loads(body)
        except ValueError:
            return body
        # The server's words for what went wrong are words, too.
        if isinstance(said, dict) and isinstance(said.get("error"), dict):
            return json.dumps({"error": {**said["error"], "message": self._attack()}}).encode()
        return json.dumps(self._bend(document, schema, said)).encode()

    def _attack(self) -> str:
        self.bent += 1
        return next(self._attacks)

    def _bend(self, document: Schema, schema: Schema, value: Any) -> Any:
        shape = self._shape(document, schema, value)
        match value:
            case str():
                return value if any(each in shape for each in self._bound) else self._attack()
            case list():
                return [self._bend(document, shape.get("items", {}), each) for each in value]
            case dict():
                return self._object(document, shape, value)
        return value

    def _object(self, document: Schema, shape: Schema, value: dict[str, Any]) -> dict[str, Any]:
        properties, other = shape.get("properties", {}), shape.get("additionalProperties", {})
        if self._names and properties.keys() >= GRANT:
            return self._grant(value)
        other = other if isinstance(other, dict) else {}
        # Ids that lead from one thing to another stay, else nothing could be opened.
        bent = {
            name: each
            if name in self._kept
            or (self._kept and each == GATE)
            or (name not in properties and ID.fullmatch(str(each)))
            else self._bend(document, properties.get(name, other), each)
            for name, each in value.items()
        }
        for name, schema in properties.items():
            found = self._shape(document, schema, "")
            if (
                name not in bent
                and found.get("type") == "string"
                and not any(x in found for x in self._bound)
            ):
                bent[name] = self._attack()
        return bent

    def _grant(self, grant: dict[str, Any]) -> dict[str, Any]:
        """By another name, the same rights in the same places: without them nothing is read or asked for."""
        given = GIVEN.get(grant["role"], frozenset())
        return {**grant, "role": self._attack(), "actions": [*map(str, given), *grant.get("actions", ())]}

    def _shape(self, document: Schema, schema: Schema, value: Any) -> Schema:
        """The schema itself, its parts in one; of alternatives the first that may be such a value."""
        schema = _resolved(document, schema)
        parts = [self._shape(document, each, value) for each in schema.get("allOf", ())]
        for alternatives in (schema.get("oneOf", ()), schema.get("anyOf", ())):
            fitting = [self._shape(document, each, value) for each in alternatives]
            kind = {"str": "string", "list": "array", "dict": "object"}.get(type(value).__name__)
            parts += [each for each in fitting if each.get("type") == kind][:1]
        merged: dict[str, Any] = dict(schema)
        for part in parts:
            merged |= {**part, "properties": {**merged.get("properties", {}), **part.get("properties", {})}}
        return merged
