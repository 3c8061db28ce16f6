"""Modals and homes as Slack checks them."""

from __future__ import annotations

import json
from typing import Any

from dg.slacksim.blockkit.blocks import check_blocks
from dg.slacksim.blockkit.checks import Check, Report, Shape, boolean, constant, plain_text, shape, string

MOST_BYTES = 250_000
"""Of one view as JSON."""


def _blocks_are_checked_apart(_value: Any, _pointer: str, _report: Report) -> None:
    """They depend on the surface."""


_COMMON: dict[str, Check] = {
    "blocks": _blocks_are_checked_apart,
    "private_metadata": string(3000, 0),
    "callback_id": string(255, 0),
    "external_id": string(255, 0),
}


def _inputs_need_a_submit(value: Any, pointer: str, report: Report) -> None:
    blocks = value.get("blocks")
    inputs = isinstance(blocks, list) and any(
        isinstance(each, dict) and each.get("type") == "input" for each in blocks
    )
    if inputs and "submit" not in value:
        report.add("missing required field: submit", pointer)


MODAL = shape(
    "modal",
    {
        **_COMMON,
        "title": plain_text(24),
        "submit": plain_text(24),
        "close": plain_text(24),
        "clear_on_close": boolean,
        "notify_on_close": boolean,
        "submit_disabled": boolean,
    },
    ("title", "blocks"),
    _inputs_need_a_submit,
)
HOME = Shape({"type": constant("home"), **_COMMON}, ("blocks",))


def check_view(view: Any, surfaces: tuple[str, ...] = ("modal",), pointer: str = "/view") -> list[str]:
    """What is wrong with a view, which must be for one of `surfaces` (`modal`, `home`)."""
    report = Report()
    if not isinstance(view, dict):
        report.add("must be an object", pointer)
        return report.problems
    kind = view.get("type")
    if kind not in surfaces:
        report.add(f"unsupported type: {str(kind)[:100]}", f"{pointer}/type")
        return report.problems
    (MODAL if kind == "modal" else HOME)(view, pointer, report)
    report.problems.extend(check_blocks(view.get("blocks", []), kind, f"{pointer}/blocks"))
    return report.problems


def too_large(view: dict[str, Any]) -> bool:
    return len(json.dumps(view).encode()) > MOST_BYTES
