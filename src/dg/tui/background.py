"""Work of a screen that waits for the server."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from textual.dom import DOMNode
from textual.worker import Worker


def begin(node: DOMNode, group: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> Worker[None]:
    """Work in the background, in place of what its group still does; it ends with the node."""
    worker: Worker[None] = node.run_worker(work, group=group, exclusive=True)
    return worker
