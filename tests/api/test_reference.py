"""The Markdown reference: everything of the contracts is on it, and every link leads somewhere."""

from __future__ import annotations

import re

from dg.api import contract
from dg.api.docs.joined import operations
from dg.api.docs.reference import page

DOCUMENTS = {name: contract.load(name) for name in contract.NAMES}
PAGE = page(DOCUMENTS)
HEADINGS = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)


def small(operation: dict[str, object]) -> str:
    """The page of a contract with one operation."""
    whole = {
        "operationId": "doThis",
        "summary": "Do this",
        "description": "One | two\nthree.",
        "responses": {"200": {"description": "Done"}},
        **operation,
    }
    document = {
        "info": {"title": "Small", "version": "1.0.0"},
        "security": [{"bearerAuth": []}],
        "paths": {"/this": {"get": whole}},
        "components": {"schemas": {}},
    }
    return page({"small": document})


def test_every_operation_is_told_of() -> None:
    named = [each["operationId"] for document in DOCUMENTS.values() for _, _, each in operations(document)]
    assert [name for name in named if name not in HEADINGS] == []


def test_every_link_within_the_page_leads_to_one_heading() -> None:
    anchors = [heading.lower().replace(" ", "-") for heading in HEADINGS]
    linked = set(re.findall(r"\]\(#([^)]+)\)", PAGE))
    assert [name for name in linked if anchors.count(name) != 1] == []


def test_every_row_of_a_table_has_its_cells() -> None:
    tables = re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE)
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table


def test_who_may_is_said() -> None:
    assert "Who may: everyone." in small({"security": []})
    assert "Who may: `deployment:approve`: operator, approver, admin." in small(
        {"x-action": "deployment:approve"}
    )
    assert "Who may: whoever has a token; on this machine without one." in small(
        {"security": [{"bearerAuth": []}, {}]}
    )


def test_a_contract_without_operations_is_left_out() -> None:
    assert page({"empty": {"paths": {}, "info": {"title": "Empty"}}}).count("Empty") == 0


def test_text_stays_in_its_line() -> None:
    assert "One \\| two three." in small({})
