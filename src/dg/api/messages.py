"""Says in a sentence what is wrong with a value that a contract refuses: the field, and the way out.

A schema may carry the sentence itself as `x-hint`. The value is never repeated: it may be a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from jsonschema_rs import ValidationError, ValidationErrorKind

from dg.core.text import plain

Kind = ValidationErrorKind

FORMATS = {
    "date-time": "a time such as 2026-01-31T09:30:00Z",
    "uuid": "an id such as 019acd5e-7c00-7000-8000-000000000000",
}


class Mistake(NamedTuple):
    """One thing that is wrong. `field` is a path such as `steps.0.name`, empty for the whole body."""

    field: str
    message: str


def mistakes(
    errors: Iterable[ValidationError], root: Mapping[str, Any], field: str = ""
) -> Iterator[Mistake]:
    """The validator's findings about one value as sentences. `field` is the name of the value itself."""
    for error in errors:
        path = ".".join([*([field] if field else []), *map(str, error.instance_path)])
        yield Mistake(path, _sentence(path or "the body", error.kind, _schema_of(error, root)))


def _schema_of(error: ValidationError, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema whose keyword refused the value."""
    node: Any = root
    for part in error.schema_path[:-1]:
        node = node[part]
    return node if isinstance(node, Mapping) else {}


def _sentence(name: str, kind: ValidationErrorKind, schema: Mapping[str, Any]) -> str:
    match kind:
        case Kind.Pattern() | Kind.OneOfNotValid() | Kind.OneOfMultipleValid() if "x-hint" in schema:
            return f"{name} {schema['x-hint']}"
        case Kind.Required():
            return (
                f"{kind.property} is required"
                if name == "the body"
                else f"{name}.{kind.property} is required"
            )
        case Kind.AdditionalProperties():
            unknown = ", ".join(plain(field, limit=64) for field in kind.unexpected[:5])
            return f"{name} has no field {unknown}; there are {', '.join(schema.get('properties', ()))}"
        case Kind.Enum():
            return f"{name} must be one of {', '.join(map(str, kind.options))}"
        case Kind.Type():
            return f"{name} must be of type {' or '.join(kind.types)}"
        case Kind.Format():
            return f"{name} must be {FORMATS.get(kind.format, kind.format)}"
        case Kind.MaxLength() | Kind.MaxProperties() | Kind.MaxItems():
            return f"{name} must have a length of at most {kind.limit}"
        case Kind.MinLength() | Kind.MinProperties() | Kind.MinItems() if kind.limit == 1:
            return f"{name} must not be empty"
        case Kind.MinLength() | Kind.MinProperties() | Kind.MinItems():
            return f"{name} must have a length of at least {kind.limit}"
        case Kind.Minimum():
            return f"{name} must be at least {kind.limit}"
        case Kind.Maximum():
            return f"{name} must be at most {kind.limit}"
        case _:
            return f"{name} does not fit the contract ({kind.name})"
