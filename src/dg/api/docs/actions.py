"""What every action is for, and which role has it, as one Markdown page: `docs/actions.md` is a copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dg.api.contract import Document
from dg.api.docs.joined import operations
from dg.core.access.models import ACTIONS, Action, Role

HEAD = """\
# Actions and roles

Made from the table of actions and the contracts by `bin/generate`. What roles and bindings are is in
[access.md](access.md); `dg can-i ACTION` says whether you may.

"""
COLUMNS = ("action", *Role, "what it is for")


def page(documents: Mapping[str, Document]) -> str:
    """The whole page over these contracts."""
    return HEAD + "\n".join(_lines(documents)) + "\n"


def _lines(documents: Mapping[str, Document]) -> Iterator[str]:
    yield _row(COLUMNS)
    yield _row(("---", *(":-:" for _ in Role), "---"))
    named = _operations(documents)
    for action in Action:
        held = ("●" if role in ACTIONS[action] else " " for role in Role)
        yield _row((f"`{action}`", *held, ", ".join(named.get(action, ())) or " "))


def _operations(documents: Mapping[str, Document]) -> Mapping[str, list[str]]:
    """Links to the operations that need each action."""
    found: dict[str, list[str]] = {}
    for document in documents.values():
        for _, _, operation in operations(document):
            name = operation["operationId"]
            found.setdefault(operation.get("x-action", ""), []).append(f"[{name}](api.md#{name.lower()})")
    return found


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"
