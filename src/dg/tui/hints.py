"""What a key does where it does it, by the key that it has: a person's own, where a keymap says so."""

from __future__ import annotations

from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import format_key


def key_of(node: DOMNode, id: str) -> str:  # noqa: A002  the name that Textual gives it
    """The first key of the binding of `node` that has this name in a keymap. Raises KeyError."""
    first = node.app._keymap.get(id, _binding(node, id).key).split(",")[0]  # noqa: SLF001
    # As they are read aloud: Textual's sign for enter is none that a sentence can have.
    return first if "+" in first or first == "enter" else format_key(first)


def hint(node: DOMNode, id: str, does: str) -> str:  # noqa: A002
    """`esc closes`: the key and what it does, in the words of a sentence."""
    return f"{key_of(node, id)} {does}"


def offered(node: DOMNode, id: str, does: str) -> str:  # noqa: A002
    """The hint where the key does that now, empty where it does not."""
    return hint(node, id, does) if node.check_action(_binding(node, id).action, ()) else ""


def _binding(node: DOMNode, id: str) -> Binding:  # noqa: A002
    own: dict[str | None, Binding] = {}
    for known in node._bindings.key_to_bindings.values():  # noqa: SLF001
        for binding in known:
            own.setdefault(binding.id, binding)
    return own[id]
