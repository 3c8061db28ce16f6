"""What a key does where it does it, by the key that it has: a person's own, where a keymap says so."""

from __future__ import annotations

from textual.dom import DOMNode
from textual.keys import format_key


def key_of(node: DOMNode, id: str) -> str:  # noqa: A002  the name that Textual gives it
    """The first key of the binding of `node` that has this name in a keymap. Raises KeyError."""
    own: dict[str | None, str] = {}
    for known in node._bindings.key_to_bindings.values():  # noqa: SLF001
        for binding in known:
            own.setdefault(binding.id, binding.key)
    first = node.app._keymap.get(id, own[id]).split(",")[0]  # noqa: SLF001
    # As they are read aloud: Textual's sign for enter is none that a sentence can have.
    return first if "+" in first or first == "enter" else format_key(first)


def hint(node: DOMNode, id: str, does: str) -> str:  # noqa: A002
    """`esc closes`: the key and what it does, in the words of a sentence."""
    return f"{key_of(node, id)} {does}"
