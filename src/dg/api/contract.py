"""The hand-written contracts as the program sees them: operations, parameters and bodies, compiled once.

`routing.py` finds the operation of a request, `app.py` binds each `operationId` to its handler.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Any, Literal, cast

import jsonschema_rs
import yaml

from dg.api import deprecation, versions
from dg.api.deprecation import Deprecation
from dg.api.messages import Mistake, mistakes
from dg.core.errors import Invalid
from dg.core.text import plain

NAMES = (
    "deployment-automation-api",
    "environment-management-api",
    "monitoring-setup-api",
    "security-hardening-api",
    "performance-optimization-api",
    "platform-api",
)
"""The specification's five contracts, and the one for what belongs to none of them."""
METHODS = ("get", "post", "put", "delete")
MAX_MISTAKES = 20

JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,308})(\.[0-9]{1,308})?([eE][+-]?[0-9]{1,3})?")

Document = Mapping[str, Any]
Where = Literal["path", "query", "header"]


class ContractError(Exception):
    """Contract and code do not fit together; the server does not start."""


class Schema:
    """One schema of a contract, compiled."""

    def __init__(self, schema: Mapping[str, Any], document: Document) -> None:
        self._root = _with_references(schema, document)
        self._validator = jsonschema_rs.Draft202012Validator(self._root, validate_formats=True)

    def mistakes(self, value: object, field: str = "") -> list[Mistake]:
        """What is wrong with `value`, each with the field it is about; nothing when it fits."""
        if self._validator.is_valid(value):
            return []
        return list(mistakes(self._validator.iter_errors(value), self._root, field))


def _with_references(schema: Mapping[str, Any], document: Document) -> dict[str, Any]:
    """`schema` and the components that it leads to. Not all of them: each validator keeps a copy."""
    found: dict[str, Any] = {}
    open_ends: list[object] = [schema]
    while open_ends:
        for name in _references(open_ends.pop()):
            if name not in found:
                found[name] = document["components"]["schemas"][name]
                open_ends.append(found[name])
    return {**schema, "components": {"schemas": found}}


def _references(node: object) -> Iterator[str]:
    """The names of the schemas that `node` refers to."""
    if isinstance(node, Mapping):
        if isinstance(reference := node.get("$ref"), str):
            yield reference.removeprefix("#/components/schemas/")
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _references(item)


@dataclass(frozen=True)
class Parameter:
    """One path, query or header parameter. `type` is the JSON type its text is read as."""

    name: str
    where: Where
    required: bool
    type: str
    default: object
    schema: Schema

    def read(self, text: str) -> object:
        """The text as a value of the parameter's type; text that is none is left for the schema to refuse."""
        if self.type == "integer" and re.fullmatch(r"-?[0-9]{1,18}", text):
            return int(text)
        if self.type == "number" and JSON_NUMBER.fullmatch(text) and math.isfinite(number := float(text)):
            return number
        if self.type == "boolean" and text in ("true", "false"):
            return text == "true"
        return text


@dataclass(frozen=True)
class Operation:
    """One operation of a contract, ready to check requests with."""

    id: str
    method: str
    path: str
    parameters: tuple[Parameter, ...]
    body: Schema | None
    body_required: bool
    security: Literal["required", "optional", "none"]
    version: str
    """`info.version` of its contract."""
    rate: str
    """The route class that its requests count in (`limits.py`), by `x-rate-class` or else by its method."""
    streams: bool
    """Whether it can answer with a stream that stays open."""
    deprecation: Deprecation | None
    raw: bool = False
    """Whether its handler gets the very bytes of the body, unread: they are signed."""

    @cached_property
    def prefix(self) -> str:
        """What its path stands below."""
        return f"/v{versions.major(self.version)}"

    @cached_property
    def template(self) -> str:
        """Its whole path, with names in braces."""
        return self.prefix + self.path

    @cached_property
    def notices(self) -> tuple[tuple[bytes, bytes], ...]:
        """Headers of each of its answers: the version, and that it is going to end."""
        ending = self.deprecation.headers() if self.deprecation else ()
        return ((b"api-version", self.version.encode()), *ending)

    def arguments(
        self, path: Mapping[str, str], query: Mapping[str, str], headers: Mapping[str, str]
    ) -> dict[str, Any]:
        """The parameters' values by name, defaults filled in. Raises Invalid that names each wrong one."""
        sources: dict[Where, Mapping[str, str]] = {"path": path, "query": query, "header": headers}
        found: dict[str, Any] = {}
        wrong: list[Mistake] = []
        for parameter in self.parameters:
            key = parameter.name.lower() if parameter.where == "header" else parameter.name
            text = sources[parameter.where].get(key)
            if text is None:
                found[parameter.name] = parameter.default
                if parameter.required:
                    wrong.append(Mistake(parameter.name, f"{parameter.name} is required"))
                continue
            found[parameter.name] = value = parameter.read(text)
            wrong.extend(parameter.schema.mistakes(value, parameter.name))
        if query:
            wrong.extend(self._unknown(query))
        refuse(wrong)
        return found

    def takes(self, path: Mapping[str, str]) -> bool:
        """Whether these texts can be the values in its path."""
        placed = [parameter for parameter in self.parameters if parameter.where == "path"]
        return not any(
            parameter.schema.mistakes(parameter.read(path[parameter.name])) for parameter in placed
        )

    def _unknown(self, query: Mapping[str, str]) -> Iterator[Mistake]:
        """A misspelt filter must not list everything."""
        known = [parameter.name for parameter in self.parameters if parameter.where == "query"]
        for name in query:
            if name not in known:
                choice = f"; there are {', '.join(known)}" if known else "; there are none"
                shown = plain(name, limit=64)
                yield Mistake(shown, f"there is no query parameter {shown} here{choice}")

    def check_body(self, value: object) -> None:
        """Raises Invalid that names each wrong field."""
        if self.body is not None:
            refuse(self.body.mistakes(value))


def refuse(wrong: list[Mistake]) -> None:
    """Raises Invalid when anything is wrong; the first sentence is the message, all are in `errors`."""
    if wrong:
        errors = [{"field": item.field, "message": item.message} for item in wrong[:MAX_MISTAKES]]
        raise Invalid(wrong[0].message, errors=errors)


def source(name: str) -> bytes:
    """The text of the contract `name`, as it was written."""
    return resources.files("dg.api").joinpath("contracts", f"{name}.yaml").read_bytes()


def load(name: str) -> Document:
    """The contract `name` as plain data."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return cast(Document, yaml.load(source(name), loader))  # noqa: S506


def operations(document: Document) -> Iterator[Operation]:
    """Every operation of one contract. Raises ContractError for what a contract may not say."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield _operation(document, path, method, item)


def resolve(document: Document, node: Mapping[str, Any]) -> Mapping[str, Any]:
    """`node`, or what its `$ref` points to."""
    while "$ref" in node:
        target: Any = document
        for name in node["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        node = target
    return node


def _operation(document: Document, path: str, method: str, item: Mapping[str, Any]) -> Operation:
    declared = item[method]
    release = document["info"]["version"]
    try:
        versions.major(release)
        ending = deprecation.read(declared)
    except ValueError as error:
        raise ContractError(f"{declared['operationId']}: {error}") from None
    parameters = [*item.get("parameters", ()), *declared.get("parameters", ())]
    body = resolve(document, declared.get("requestBody", {}))
    content = body.get("content", {}).get("application/json")
    return Operation(
        id=declared["operationId"],
        method=method.upper(),
        path=path,
        parameters=tuple(_parameters(document, parameters)),
        body=Schema(content["schema"], document) if content else None,
        body_required=body.get("required", False),
        security=(security := _security(declared.get("security", document.get("security", [])))),
        version=release,
        rate=declared.get("x-rate-class") or _rate(method, security),
        streams="text/event-stream" in declared["responses"].get("200", {}).get("content", {}),
        deprecation=ending,
        raw=body.get("x-raw", False),
    )


def _parameters(document: Document, declared: Iterable[Mapping[str, Any]]) -> Iterator[Parameter]:
    for reference in declared:
        parameter = resolve(document, reference)
        schema = resolve(document, parameter["schema"])
        yield Parameter(
            name=parameter["name"],
            where=parameter["in"],
            required=parameter.get("required", False),
            type=schema.get("type", "string"),
            default=schema.get("default"),
            schema=Schema(parameter["schema"], document),
        )


def _rate(method: str, security: str) -> str:
    if security == "none":
        return "open"
    return "read" if method == "get" else "write"


def _security(schemes: list[Mapping[str, Any]]) -> Literal["required", "optional", "none"]:
    if not schemes:
        return "none"
    return "optional" if {} in schemes else "required"
