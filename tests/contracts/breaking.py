"""What of a contract's change breaks a client that keeps to the older copy; docs/contracts.md is the list.

A request may be accepted more widely and an answer given more narrowly. The other way round, something that a
client sends is refused, or something that it reads is not there or means something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dg.api import contract, soundness
from dg.api.contract import Document

Schema = Mapping[str, Any]
BOUNDS = {"minimum": 1, "minLength": 1, "minItems": 1, "maximum": -1, "maxLength": -1, "maxItems": -1}
"""The bounds of values, and in which direction a move makes them tighter."""
COMPOSED = ("allOf", "anyOf", "oneOf", "not")


def breaks(old: Document, new: Document) -> list[str]:
    """A sentence for each thing that would break a client, such as `POST /tokens: was removed`."""
    comparison = _Comparison(old, new, set())
    after = {where: (operation, item) for where, operation, item in soundness.operations(new)}
    found: list[str] = []
    for where, operation, item in soundness.operations(old):
        if where in after:
            found.extend(f"{where}: {each}" for each in comparison.operation((operation, item), after[where]))
        else:
            found.append(f"{where}: was removed")
    return list(dict.fromkeys(found))


Placed = tuple[Mapping[str, Any], Mapping[str, Any]]
"""An operation and its path's item."""


@dataclass(frozen=True)
class _Comparison:
    """Two copies of a contract. `open` holds the pairs of schemas under comparison, for recursive ones."""

    old: Document
    new: Document
    open: set[tuple[str, str, str]]

    def operation(self, before: Placed, after: Placed) -> Iterator[str]:
        (old, _), (new, _) = before, after
        if old["operationId"] != new["operationId"]:
            yield f"is called {new['operationId']}, no longer {old['operationId']}"
        yield from self._security(old, new)
        yield from self._parameters(before, after)
        yield from self._body(old.get("requestBody"), new.get("requestBody"))
        for status, answer in old["responses"].items():
            if status in new["responses"]:
                yield from self._answer(status, answer, new["responses"][status])
            elif status.startswith(("2", "3")):
                yield f"the answer {status} was removed"

    def _security(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
        ways = old.get("security", self.old.get("security", [])) or [{}]
        accepted = new.get("security", self.new.get("security", [])) or [{}]
        for way in ways:
            if not any(other.items() <= way.items() for other in accepted):
                yield f"no longer lets in by {' and '.join(way) or 'nothing'}"

    def _parameters(self, before: Placed, after: Placed) -> Iterator[str]:
        old, new = self._declared(self.old, before), self._declared(self.new, after)
        for key, parameter in new.items():
            if parameter.get("required") and not old.get(key, {}).get("required"):
                yield f"the {key[0]} parameter {key[1]} is required"
        for key, parameter in old.items():
            if key not in new:
                yield f"the {key[0]} parameter {key[1]} was removed"
            else:
                yield from self._sent(parameter["schema"], new[key]["schema"], key[1])

    def _declared(self, document: Document, placed: Placed) -> dict[tuple[str, str], Mapping[str, Any]]:
        operation, item = placed
        every = (*item.get("parameters", ()), *operation.get("parameters", ()))
        resolved = (contract.resolve(document, each) for each in every)
        return {(each["in"], each["name"]): each for each in resolved}

    def _body(self, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Iterator[str]:
        before = contract.resolve(self.old, old) if old else {}
        after = contract.resolve(self.new, new) if new else {}
        if after.get("required") and not before.get("required"):
            yield "a body is required"
        for media_type, media in before.get("content", {}).items():
            if media_type not in after.get("content", {}):
                yield f"a body as {media_type} is no longer taken"
            else:
                yield from self._sent(media["schema"], after["content"][media_type]["schema"], "the body")

    def _answer(self, status: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
        before, after = contract.resolve(self.old, old), contract.resolve(self.new, new)
        for header in before.get("headers", {}).keys() - after.get("headers", {}).keys():
            yield f"the header {header} of {status} was removed"
        for media_type, media in before.get("content", {}).items():
            if media_type not in after.get("content", {}):
                yield f"the answer {status} is no longer given as {media_type}"
            else:
                changed = after["content"][media_type]["schema"]
                yield from self._given(media["schema"], changed, f"the answer {status}")

    def _sent(self, old: Schema, new: Schema, where: str) -> Iterator[str]:
        """What a client could send to the old schema and the new one refuses, or reads otherwise."""
        for before, after in self._opened("sent", old, new):
            yield from self._kinds(before, after, where)
            if "enum" in after and (gone := _missing(before.get("enum"), after["enum"])):
                yield f"{where}: {gone} is no longer taken"
            for bound, tighter in BOUNDS.items():
                if bound in after and (bound not in before or (after[bound] - before[bound]) * tighter > 0):
                    yield f"{where}: {bound} is tighter"
            for keyword in ("pattern", "format"):
                if keyword in after and after[keyword] != before.get(keyword):
                    yield f"{where}: {keyword} is another"
            if before.get("default") != after.get("default"):
                yield f"{where}: left out, it means something else"
            for name in sorted(set(after.get("required", ())) - set(before.get("required", ()))):
                yield f"{where}: {name} is required"
            for name, schema in before.get("properties", {}).items():
                if name in after.get("properties", {}):
                    yield from self._sent(schema, after["properties"][name], _below(where, name))
                elif after.get("additionalProperties") is False:
                    yield f"{where}: {name} is no longer taken"
            if after.get("additionalProperties") is False and before.get("additionalProperties") is not False:
                yield f"{where}: other fields are no longer taken"
            yield from self._inside(self._sent, before, after, where)

    def _given(self, old: Schema, new: Schema, where: str) -> Iterator[str]:
        """What a client could read by the old schema and cannot by the new one."""
        for before, after in self._opened("given", old, new):
            yield from self._kinds(after, before, where)
            if "enum" in before and (more := _missing(after.get("enum"), before["enum"])):
                yield f"{where}: it may be {more}"
            if after.get("nullable") and not before.get("nullable"):
                yield f"{where}: it may be null"
            if before.get("format") != after.get("format"):
                yield f"{where}: format is another"
            for name, schema in before.get("properties", {}).items():
                if name not in after.get("properties", {}):
                    yield f"{where}: {name} was removed"
                    continue
                if name in before.get("required", ()) and name not in after.get("required", ()):
                    yield f"{where}: {name} may be left out"
                yield from self._given(schema, after["properties"][name], _below(where, name))
            yield from self._inside(self._given, before, after, where)

    def _kinds(self, narrow: Schema, wide: Schema, where: str) -> Iterator[str]:
        """Whether all that is `narrow` is `wide` too, by their types and compositions."""
        types = narrow.get("type"), wide.get("type")
        if types[0] != types[1] and types != ("integer", "number") and types[1] is not None:
            yield f"{where}: the type is another"
        if any(narrow.get(keyword) != wide.get(keyword) for keyword in COMPOSED):
            yield f"{where}: it is composed in another way"

    def _inside(self, compare: Any, before: Schema, after: Schema, where: str) -> Iterator[str]:
        for keyword in ("items", "additionalProperties"):
            old, new = before.get(keyword), after.get(keyword)
            if isinstance(old, Mapping) and isinstance(new, Mapping):
                yield from compare(old, new, f"{where}[]")

    def _opened(self, direction: str, old: Schema, new: Schema) -> Iterator[tuple[Schema, Schema]]:
        """The two schemas without references; nothing for a pair that is being compared already."""
        key = direction, old.get("$ref", ""), new.get("$ref", "")
        if key in self.open:
            return
        named = bool(key[1] and key[2])
        if named:
            self.open.add(key)
        yield contract.resolve(self.old, old), contract.resolve(self.new, new)
        if named:
            self.open.remove(key)


def _missing(wanted: list[Any] | None, choices: list[Any]) -> str:
    """Those of `wanted` that are no choice; `anything` where everything was wanted."""
    if wanted is None:
        return "anything"
    return ", ".join(str(each) for each in wanted if each not in choices)


def _below(where: str, name: str) -> str:
    return name if re.match(r"the (body|answer)", where) else f"{where}.{name}"
