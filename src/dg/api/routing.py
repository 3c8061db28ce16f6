"""Finds the operation that a method and a path mean, and tells an unknown path from a wrong method."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from dg.api.contract import ContractError, Operation
from dg.api.errors import MethodNotAllowed
from dg.core.errors import NotFound

REMEMBERED = 1024
"""Paths whose operation is not looked for again: a deployment's status is asked for many times."""
LONGEST_REMEMBERED = 256
"""Bytes of such a path: what anybody may send must not fill the memory."""


class Match(NamedTuple):
    """An operation and the values that stand in its path."""

    operation: Operation
    values: Mapping[str, str]


@dataclass
class _Node:
    """One segment of the paths: its fixed children by name, and the child that takes any text."""

    children: dict[str, _Node] = field(default_factory=dict)
    any: _Node | None = None
    operations: dict[str, Operation] = field(default_factory=dict)


class Router:
    """The paths of operations, each below its prefix."""

    def __init__(self, operations: Iterable[tuple[str, Operation]]) -> None:
        self._root = _Node()
        self._found = lru_cache(maxsize=REMEMBERED)(self._find)
        for prefix, operation in operations:
            self._add(f"{prefix}{operation.path}", operation)

    def _add(self, path: str, operation: Operation) -> None:
        node = self._root
        for segment in path.split("/")[1:]:
            if segment.startswith("{"):
                node.any = node.any or _Node()
                node = node.any
            else:
                node = node.children.setdefault(segment, _Node())
        if operation.method in node.operations:
            raise ContractError(f"two operations answer {operation.method} {path}")
        node.operations[operation.method] = operation

    @property
    def remembered(self) -> int:
        """How many paths are not looked for again."""
        return self._found.cache_info().currsize

    def find(self, method: str, path: bytes) -> Match:
        """The operation for `method` and the percent-encoded `path`; HEAD finds GET's.

        Raises NotFound for an unknown path, MethodNotAllowed with every method that the path has. Where a
        literal path stands beside a variable one (`/pipelines/lint`, `/pipelines/{service}`) the literal one
        goes first, but a service of that name is still found by the other's methods; no deployment has the id
        `preview`.
        """
        wanted = "GET" if method == "HEAD" else method
        look = self._found if len(path) <= LONGEST_REMEMBERED else self._find
        return look(wanted, method, path)

    def _find(self, wanted: str, method: str, path: bytes) -> Match:
        segments = _decode(path)
        nodes = list(_walk(self._root, segments, ()))
        for at, (node, values) in enumerate(nodes):
            if operation := node.operations.get(wanted):
                named = dict(zip(_names(operation.path), values, strict=True))
                if at == 0 or operation.takes(named):
                    return Match(operation, named)
        if not nodes:
            raise NotFound("nothing is at this path; GET /v1/versions names the contracts", reason="no_path")
        raise MethodNotAllowed(method, _allowed(nodes[0][0].operations))


def _walk(
    node: _Node, segments: list[str], values: tuple[str, ...]
) -> Iterator[tuple[_Node, tuple[str, ...]]]:
    """Every node that the path leads to, the most literal first."""
    if not segments:
        if node.operations:
            yield node, values
        return
    head, rest = segments[0], segments[1:]
    if child := node.children.get(head):
        yield from _walk(child, rest, values)
    if node.any and head:
        yield from _walk(node.any, rest, (*values, head))


def _allowed(methods: Iterable[str]) -> tuple[str, ...]:
    known = set(methods)
    return tuple(sorted(known | {"HEAD"} if "GET" in known else known))


def _names(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _decode(path: bytes) -> list[str]:
    """The segments as text. Decoded after the split, so that `%2F` stays inside its segment."""
    if b"%" not in path:
        return path.decode("utf-8", "replace").split("/")[1:]
    return [unquote_to_bytes(segment).decode("utf-8", "replace") for segment in path.split(b"/")[1:]]
